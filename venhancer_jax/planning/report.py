"""A plan as data, as JSON and as text."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from venhancer_jax.files import atomic_write
from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.suggestions import Suggestion
from venhancer_jax.planning.topology import Topology

_GIB = 2**30
_COLUMNS = (
    "program", "GiB a chip", "arguments", "temporary", "resident", "TFLOP", "seconds", "MFU",
    "calls",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A run on a topology.

    Attributes:
      topology: chips.
      subject: one line about the run.
      mesh: number of devices along each axis.
      programs: programs by name, in the order of the run.
      costs: chip-hours per `minute_of_video`, `update`, `epoch` or `run`.
      suggestions: changes that would make it fit, the smallest first; empty where it fits.
      assumptions: what the estimates assume.
    """

    topology: Topology
    subject: str
    mesh: Mapping[str, int]
    programs: Mapping[str, ProgramStats]
    costs: Mapping[str, float]
    suggestions: tuple[Suggestion, ...]
    assumptions: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Returns whether every program fits."""
        return all(stats.fits for stats in self.programs.values())

    @property
    def largest(self) -> str:
        """Returns the name of the program that takes the most memory."""
        return max(self.programs, key=lambda name: self.programs[name].bytes_per_chip)

    @property
    def main(self) -> str:
        """Returns the name of the program that does the most work."""
        return max(
            self.programs, key=lambda name: self.programs[name].calls * self.programs[name].flops
        )

    def mfu(self, name: str) -> float:
        """Returns the estimated share of the peak of all chips that a program reaches."""
        stats = self.programs[name]
        peak = len(self.topology.devices) * self.topology.chip.peak_flops
        return stats.flops / (peak * stats.step_seconds_estimate)


def to_dict(plan: Plan) -> dict[str, Any]:
    """Returns a plan as JSON values.

    `bytes_per_chip` is that of the program with the most memory, `largest_program`; `flops`,
    `collectives`, `compile_seconds`, `step_seconds_estimate` and `mfu_estimate` are those of the
    program with the most work, `main_program`. `programs` has all of them for each program.
    """
    programs = {name: _program_dict(plan, name) for name in plan.programs}
    main = programs[plan.main]
    copied = ("flops", "collectives", "compile_seconds", "step_seconds_estimate", "mfu_estimate")
    return {
        "fits": plan.fits,
        "bytes_per_chip": plan.programs[plan.largest].bytes_per_chip,
        "limit_bytes": plan.topology.limit_bytes,
        **{key: main[key] for key in copied},
        "topology": plan.topology.name,
        "chips": len(plan.topology.devices),
        "chip": plan.topology.chip.name,
        "mesh": dict(plan.mesh),
        "subject": plan.subject,
        "compiled": not plan.topology.missing,
        "main_program": plan.main,
        "largest_program": plan.largest,
        "chip_hours": dict(plan.costs),
        "programs": programs,
        "changes": [dataclasses.asdict(suggestion) for suggestion in plan.suggestions],
        "assumptions": list(plan.assumptions),
    }


def write_json(plan: Plan, path: str) -> None:
    """Writes a plan as JSON, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    atomic_write(epath.Path(path), json.dumps(to_dict(plan), indent=2) + "\n")


def to_text(plan: Plan) -> str:
    """Formats a plan for a terminal."""
    topology, chip = plan.topology, plan.topology.chip
    mesh = " x ".join(f"{axis} {size}" for axis, size in plan.mesh.items())
    rows = [_COLUMNS, *(_row(plan, name) for name in plan.programs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    seconds = sum(stats.compile_seconds for stats in plan.programs.values())
    missing = topology.missing
    source = f"estimated, not compiled: {missing}" if missing else f"compiled in {seconds:.0f} s"
    return "\n".join(
        [
            plan.subject,
            f"{topology.name}: {len(topology.devices)} chips, mesh {mesh}; a chip has"
            f" {topology.limit_bytes / _GIB:.2f} GiB, {chip.peak_flops / 1e12:g} TFLOP/s,"
            f" {chip.memory_bandwidth / 1e9:g} GB/s",
            "",
            *table,
            "",
            *_traffic(plan),
            source,
            *(
                f"{_number(hours)} chip-hours per {unit.replace('_', ' ')}, estimated"
                for unit, hours in plan.costs.items()
            ),
            "",
            "Assumptions:",
            *(f"- {assumption}" for assumption in plan.assumptions),
            "",
            *_verdict(plan),
        ]
    )


def _program_dict(plan: Plan, name: str) -> dict[str, Any]:
    stats = plan.programs[name]
    collectives = stats.collectives.items()
    return dataclasses.asdict(stats) | {
        "fits": stats.fits,
        "bytes_per_chip": stats.bytes_per_chip,
        "mfu_estimate": plan.mfu(name),
        "collectives": {kind: each.count for kind, each in collectives},
        "collective_bytes": {kind: each.bytes for kind, each in collectives},
    }


def _row(plan: Plan, name: str) -> tuple[str, ...]:
    stats = plan.programs[name]
    memory = (
        stats.bytes_per_chip,
        stats.argument_bytes,
        stats.temporary_bytes,
        stats.resident_bytes,
    )
    return (
        name,
        *(f"{size / _GIB:.2f}" for size in memory),
        _number(stats.flops / 1e12),
        _number(stats.step_seconds_estimate),
        f"{plan.mfu(name):.0%}",
        f"{stats.calls:g}",
    )


def _traffic(plan: Plan) -> list[str]:
    lines = []
    for name, stats in plan.programs.items():
        if stats.collectives:
            kinds = ", ".join(
                f"{each.count} {kind} ({each.bytes / 2**20:.1f} MiB)"
                for kind, each in stats.collectives.items()
            )
            lines.append(f"between chips, {name}: {kinds}")
        if stats.unknown_loops:
            lines.append(
                f"{name}: transfers in {stats.unknown_loops} loops of unknown length are counted"
                " once"
            )
    return lines


def _verdict(plan: Plan) -> list[str]:
    stats = plan.programs[plan.largest]
    takes = (
        f"{plan.largest} takes {stats.bytes_per_chip / _GIB:.2f} of"
        f" {stats.limit_bytes / _GIB:.2f} GiB"
    )
    if plan.fits:
        return [f"FITS: {takes}"]
    lines = [f"DOES NOT FIT: {takes}"]
    for i, suggestion in enumerate(plan.suggestions):
        lines.append(
            f"{'Or' if i else 'Smallest change'}: {suggestion.ask} (about"
            f" {suggestion.bytes_per_chip / _GIB:.2f} GiB a chip: {suggestion.basis})"
        )
    return lines if plan.suggestions else [*lines, "No single change makes it fit."]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
