"""A plan as text and as JSON."""

import json
import os
from pathlib import Path
from typing import Any

from venhancer_jax.planning.plan import Plan
from venhancer_jax.planning.program import ProgramStats

_GIB = 2**30
_COLUMNS = (
    "program", "GiB a chip", "arguments", "temporary", "resident", "TFLOP", "seconds", "calls",
)  # fmt: skip


def facts_of(plan: Plan) -> dict[str, Any]:
    """A plan as JSON facts.

    `fits`, `bytes_per_chip` and `limit_bytes` are of the program that takes the most memory,
    `largest_program`; `flops`, `collectives`, `compile_seconds` and `step_seconds_estimate` of the
    one that runs most, `main_program`. `programs` has all of them for each program.
    """
    main = plan.programs[plan.main]
    return {
        "fits": plan.fits,
        "bytes_per_chip": plan.largest.bytes_per_chip,
        "limit_bytes": plan.topology.limit_bytes,
        "flops": main.flops,
        "collectives": {kind: each.count for kind, each in main.collectives.items()},
        "compile_seconds": main.compile_seconds,
        "step_seconds_estimate": main.step_seconds_estimate,
        "topology": plan.topology.name,
        "chips": len(plan.topology.devices),
        "chip": plan.topology.chip.name,
        "mesh": dict(plan.mesh),
        "subject": plan.subject,
        "compiled": plan.topology.missing is None,
        "main_program": plan.main,
        "largest_program": plan.largest.name,
        "chip_hours": dict(plan.costs),
        "programs": {name: _of_program(facts) for name, facts in plan.programs.items()},
        "changes": [
            {"ask": c.ask, "bytes_per_chip": c.bytes_per_chip, "basis": c.basis}
            for c in plan.suggestions
        ],
        "assumptions": list(plan.notes),
    }


def write_json(plan: Plan, path: str | os.PathLike) -> None:
    """Writes the facts of a plan, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(facts_of(plan), indent=2) + "\n")
    partial.replace(path)


def text_of(plan: Plan) -> str:
    """A plan as a person reads it."""
    topology, chip = plan.topology, plan.topology.chip
    mesh = " x ".join(f"{axis} {size}" for axis, size in plan.mesh.items())
    rows = [_COLUMNS, *(_row(facts) for facts in plan.programs.values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        f"{plan.subject}",
        f"{topology.name}: {len(topology.devices)} chips, mesh {mesh}; a chip has"
        f" {topology.limit_bytes / _GIB:.2f} GiB, {chip.peak_flops / 1e12:g} TFLOP/s,"
        f" {chip.memory_bandwidth / 1e9:g} GB/s",
    ]
    if topology.missing:
        lines.append(
            f"NOT COMPILED: there is no {topology.missing}. What follows is estimated from the"
            " arrays of the programs; traffic between chips is not known"
        )
    lines.append("")
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row, widths, strict=True))]
        lines.append("  ".join([cells[0], *cells[2:]]))
    lines += ["", *_traffic(plan)]
    lines.append(f"compiled in {sum(f.compile_seconds for f in plan.programs.values()):.0f} s")
    for what, hours in plan.costs.items():
        lines.append(f"{_number(hours)} chip-hours per {what.replace('_', ' ')}, estimated")
    lines += ["", "Assumptions:", *(f"- {note}" for note in plan.notes), "", *_verdict(plan)]
    return "\n".join(lines)


def _of_program(facts: ProgramStats) -> dict[str, Any]:
    return {
        "fits": facts.fits,
        "bytes_per_chip": facts.bytes_per_chip,
        "limit_bytes": facts.limit_bytes,
        "argument_bytes": facts.argument_bytes,
        "temporary_bytes": facts.temporary_bytes,
        "resident_bytes": facts.resident_bytes,
        "flops": facts.flops,
        "flops_per_chip": facts.flops_per_chip,
        "memory_traffic": facts.memory_traffic,
        "collectives": {kind: each.count for kind, each in facts.collectives.items()},
        "collective_bytes": {kind: each.bytes for kind, each in facts.collectives.items()},
        "unknown_loops": facts.unknown_loops,
        "compile_seconds": facts.compile_seconds,
        "step_seconds_estimate": facts.step_seconds_estimate,
        "calls": facts.calls,
    }


def _row(facts: ProgramStats) -> tuple[str, ...]:
    memory = (
        facts.bytes_per_chip,
        facts.argument_bytes,
        facts.temporary_bytes,
        facts.resident_bytes,
    )
    return (
        facts.name,
        *(f"{size / _GIB:.2f}" for size in memory),
        _number(facts.flops / 1e12),
        _number(facts.step_seconds_estimate),
        f"{facts.calls:g}",
    )


def _traffic(plan: Plan) -> list[str]:
    lines = []
    for facts in plan.programs.values():
        if facts.collectives:
            kinds = ", ".join(
                f"{each.count} {kind} ({each.bytes / 2**20:.1f} MiB)"
                for kind, each in facts.collectives.items()
            )
            lines.append(f"between chips, {facts.name}: {kinds}")
        if facts.unknown_loops:
            lines.append(
                f"{facts.name}: traffic of {facts.unknown_loops} loops of unknown length is counted"
                " once"
            )
    return lines


def _verdict(plan: Plan) -> list[str]:
    largest = plan.largest
    takes = (
        f"{largest.name} takes {largest.bytes_per_chip / _GIB:.2f} of"
        f" {largest.limit_bytes / _GIB:.2f} GiB"
    )
    if plan.fits:
        return [f"FITS: {takes}"]
    lines = [f"DOES NOT FIT: {takes}"]
    for i, change in enumerate(plan.suggestions):
        start = "Smallest change" if i == 0 else "Or"
        lines.append(
            f"{start}: {change.ask} (about {change.bytes_per_chip / _GIB:.2f} GiB a chip:"
            f" {change.basis})"
        )
    return lines if plan.suggestions else [*lines, "No single change makes it fit."]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
