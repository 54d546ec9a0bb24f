"""What to change where a program does not fit, computed from what it takes."""

import dataclasses
import math
from collections.abc import Callable, Iterator

from jax.sharding import Mesh

from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.system import Clip, ClipPlan, ProgramSpec, System
from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.topology import (
    Topology,
    fake_devices,
    larger_memories,
    neighbours,
    public_name,
)
from venhancer_jax.sharding.mesh import inference_mesh

# Share of the limit that a proportion may fill, as it is not exact.
SLACK = 0.97


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A change that is expected to make a program fit.

    Attributes:
      ask: settings of the command line, or chips.
      bytes_per_chip: expected bytes on a chip.
      basis: how that is known.
    """

    ask: str
    bytes_per_chip: int
    basis: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedClip:
    """The clip that a plan is for.

    Attributes:
      clip: input clip.
      options: options of the enhancement.
      plan: plan of the clip.
    """

    clip: Clip
    options: EnhanceOptions
    plan: ClipPlan


def sampling_suggestions(
    worst: ProgramStats,
    planned: PlannedClip,
    topology: Topology,
    abstract: Callable[[Mesh], System],
) -> Iterator[Suggestion]:
    """Yields what would make an enhancement fit, each alone: settings, then chips, then size.

    Args:
      worst: program that takes the most memory.
      planned: clip to enhance.
      topology: chips that do not suffice.
      abstract: builds the abstract system on a mesh.
    """
    system = abstract(inference_mesh(topology.devices))
    spec = _spec(worst, planned, system)
    if "window" in spec.scales_with:
        yield from _fewer_frames(worst, planned, system)
        yield from _more_chips(worst, planned, topology, spec.shards, abstract)
    if "pixels" in spec.scales_with:
        yield from _smaller(worst, planned, system)
    yield from other_chips(worst, topology)


def other_chips(worst: ProgramStats, topology: Topology) -> Iterator[Suggestion]:
    """Yields the kind of chip with the least memory that suffices."""
    needed = worst.bytes_per_chip
    for name, limit in larger_memories(round(needed / SLACK)):
        yield Suggestion(
            ask=f"chips with more memory, as --plan={public_name(name, len(topology.devices))}",
            bytes_per_chip=needed,
            basis=f"what it takes now; one {name} has {limit / 2**30:.2f} GiB",
        )
        return


def with_share(stats: ProgramStats, share: float) -> int:
    """Returns the bytes on a chip if temporaries were this share of what they are."""
    return round(stats.argument_bytes + stats.resident_bytes + share * stats.temporary_bytes)


def share_that_fits(stats: ProgramStats) -> float:
    """Returns the share of its temporaries for which there is room; 0 or less for none."""
    rest = stats.argument_bytes + stats.resident_bytes
    return (SLACK * stats.limit_bytes - rest) / max(1, stats.temporary_bytes)


def _fewer_frames(
    worst: ProgramStats, planned: PlannedClip, system: System
) -> Iterator[Suggestion]:
    window = planned.plan.window
    frames = math.floor(window * share_that_fits(worst))
    if frames < 2:
        return
    options = dataclasses.replace(planned.options, window=frames)
    # A window has at least two key frames, however far they are apart.
    if system.plan(planned.clip, options).window <= frames:
        yield Suggestion(
            ask=f"windows of {frames} frames, --config.window={frames}",
            bytes_per_chip=with_share(worst, frames / window),
            basis=f"{_found(worst)} temporaries of {window} frames, in proportion",
        )


def _more_chips(
    worst: ProgramStats,
    planned: PlannedClip,
    topology: Topology,
    shards: float,
    abstract: Callable[[Mesh], System],
) -> Iterator[Suggestion]:
    for name, count in neighbours(topology):
        devices = fake_devices(count, topology.chip, topology.platform)
        more = _spec(worst, planned, abstract(inference_mesh(devices))).shards
        if shards / more < min(1.0, share_that_fits(worst)):
            yield Suggestion(
                ask=f"more chips, --plan={name}",
                bytes_per_chip=with_share(worst, shards / more),
                basis=f"{_found(worst)} temporaries of {shards:g} shards, in proportion",
            )
            return


def _smaller(worst: ProgramStats, planned: PlannedClip, system: System) -> Iterator[Suggestion]:
    size, pixels = planned.plan.output.size, math.prod(planned.plan.working_size)
    for percent in range(95, 5, -5):
        height, width = (max(16, side * percent // 100 // 2 * 2) for side in size)
        options = dataclasses.replace(planned.options, target_size=(height, width))
        share = math.prod(system.plan(planned.clip, options).working_size) / pixels
        if share <= share_that_fits(worst):
            yield Suggestion(
                ask=f"a smaller output, --config.target_size={height},{width}",
                bytes_per_chip=with_share(worst, share),
                basis=f"{_found(worst)} temporaries, in proportion to the pixels worked on",
            )
            return


def _spec(worst: ProgramStats, planned: PlannedClip, system: System) -> ProgramSpec:
    """Returns the spec of a program on the mesh of a system."""
    specs = system.programs(planned.plan, planned.options)
    return next(spec for spec in specs if spec.name == worst.name)


def _found(stats: ProgramStats) -> str:
    return "the compiler's" if stats.compiled else "the estimated"
