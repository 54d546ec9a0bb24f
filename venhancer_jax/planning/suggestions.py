"""Changes that would make a program fit."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator

from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.topology import Topology, larger_memories, public_name

# Share of the memory that an expected size may fill, as it is not exact.
SLACK = 0.97


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A change that is expected to make a program fit.

    Attributes:
      ask: settings of the command line, or chips.
      bytes_per_chip: expected bytes on a chip.
      basis: how the bytes are computed.
    """

    ask: str
    bytes_per_chip: int
    basis: str


def first_that_fits(stats: ProgramStats, candidates: Iterable[Suggestion]) -> Iterator[Suggestion]:
    """Returns the first candidate that is expected to fit, if there is one.

    Args:
      stats: program that does not fit.
      candidates: changes, the smallest first.
    """
    limit = SLACK * stats.limit_bytes
    return itertools.islice((c for c in candidates if c.bytes_per_chip <= limit), 1)


def other_chips(stats: ProgramStats, topology: Topology) -> Iterator[Suggestion]:
    """Yields the kind of chip with the least memory that suffices, if there is one."""
    needed = stats.bytes_per_chip
    for name, limit in larger_memories(round(needed / SLACK))[:1]:
        yield Suggestion(
            ask=f"chips with more memory, as --plan={public_name(name, len(topology.devices))}",
            bytes_per_chip=needed,
            basis=f"the present need; one {name} has {limit / 2**30:.2f} GiB",
        )
