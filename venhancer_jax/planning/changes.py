"""What to change where a program does not fit, computed from what it takes."""

import dataclasses
import math
from collections.abc import Iterator

from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.sampling import Clip, split
from venhancer_jax.planning.topology import (
    Topology,
    fake_devices,
    larger_memories,
    neighbours,
    public_name,
)
from venhancer_jax.sharding.mesh import inference_mesh

# Of the limit, for what a proportion does not tell.
SLACK = 0.97


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Something else to ask for.

    Attributes:
      ask: settings of the command line, or chips.
      bytes_per_chip: what it is expected to take.
      basis: how that is known.
    """

    ask: str
    bytes_per_chip: int
    basis: str


def sampling_changes(
    worst: ProgramStats, clip: Clip, system: VEnhancer, topology: Topology
) -> Iterator[Suggestion]:
    """What would make an enhancement fit, each by itself: settings first, then chips, then size.

    Args:
      worst: the program that takes the most memory.
      clip: to enhance.
      system: of the networks.
      topology: that does not suffice.
    """
    if worst.name == "denoise":
        yield from _fewer_frames(worst, clip)
        yield from _more_chips(worst, clip, topology)
    if worst.name in ("encode", "denoise"):
        yield from _smaller(worst, clip, system)
    yield from other_chips(worst, topology)


def other_chips(worst: ProgramStats, topology: Topology) -> Iterator[Suggestion]:
    """The kind of chip with the least memory that suffices."""
    needed = worst.bytes_per_chip
    for name, limit in larger_memories(round(needed / SLACK)):
        basis = f"what it takes now; one {name} has {limit / 2**30:.2f} GiB"
        yield Suggestion(
            ask=f"chips with more memory, as --plan={public_name(name, len(topology.devices))}",
            bytes_per_chip=needed,
            basis=basis,
        )
        return


def with_share(facts: ProgramStats, share: float) -> int:
    """Bytes on a chip where temporaries are this share of what they are."""
    return round(facts.argument_bytes + facts.resident_bytes + share * facts.temporary_bytes)


def share_that_fits(facts: ProgramStats) -> float:
    """The share of its temporaries for which there is room; 0 or less if the rest is too much."""
    rest = facts.argument_bytes + facts.resident_bytes
    return (SLACK * facts.limit_bytes - rest) / max(1, facts.temporary_bytes)


def _fewer_frames(worst: ProgramStats, clip: Clip) -> Iterator[Suggestion]:
    frames = math.floor(clip.window * share_that_fits(worst))
    # A window has at least two key frames.
    if frames > max(2, clip.time.stride):
        yield Suggestion(
            ask=f"windows of {frames} frames, --config.window={frames}",
            bytes_per_chip=with_share(worst, frames / clip.window),
            basis=f"{_found(worst)} temporaries of {clip.window} frames, in proportion",
        )


def _more_chips(worst: ProgramStats, clip: Clip, topology: Topology) -> Iterator[Suggestion]:
    pair = 2 if clip.options.guidance_scale != 1 else 1
    parts = split(inference_mesh(topology.devices).shape, pair, clip.window)
    for name, count in neighbours(topology):
        mesh = inference_mesh(fake_devices(count, topology.chip, topology.platform))
        share = parts / split(mesh.shape, pair, clip.window)
        if share < min(1.0, share_that_fits(worst)):
            yield Suggestion(
                ask=f"more chips, --plan={name}",
                bytes_per_chip=with_share(worst, share),
                basis=f"{_found(worst)} temporaries of {parts:g} parts of the work, in proportion",
            )
            return


def _smaller(worst: ProgramStats, clip: Clip, system: VEnhancer) -> Iterator[Suggestion]:
    share, size = share_that_fits(worst), clip.space.size
    pixels = math.prod(clip.space.working_size)
    for percent in range(95, 5, -5):
        height, width = (max(16, side * percent // 100 // 2 * 2) for side in size)
        options = dataclasses.replace(clip.options, target_size=(height, width))
        fits = math.prod(system.plan_space(*size, options).working_size) / pixels
        if fits <= share:
            yield Suggestion(
                ask=f"a smaller output, --config.target_size={height},{width}",
                bytes_per_chip=with_share(worst, fits),
                basis=f"{_found(worst)} temporaries, in proportion to the pixels worked on",
            )
            return


def _found(facts: ProgramStats) -> str:
    return "the compiler's" if facts.compiled else "the estimated"
