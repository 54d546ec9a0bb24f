"""What a plan says: its programs, whether they fit, and what would make them fit."""

import dataclasses
from collections.abc import Mapping

from venhancer_jax.planning.program import ProgramStats
from venhancer_jax.planning.suggestions import Suggestion
from venhancer_jax.planning.topology import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A run on a topology.

    Attributes:
      topology: chips.
      subject: what is done, in a line.
      mesh: devices along each axis.
      main: name of the program that runs most.
      programs: all, in the order of the run.
      costs: chip-hours by what they are of: `minute_of_video`, `update`, `epoch`, `run`.
      suggestions: changes that would make it fit, the smallest first; empty where it fits.
      notes: what is taken for granted.
    """

    topology: Topology
    subject: str
    mesh: Mapping[str, int]
    main: str
    programs: Mapping[str, ProgramStats]
    costs: Mapping[str, float]
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether all programs do."""
        return all(facts.fits for facts in self.programs.values())

    @property
    def largest(self) -> ProgramStats:
        """The program that takes the most memory."""
        return largest(self.programs)


def largest(programs: Mapping[str, ProgramStats]) -> ProgramStats:
    """The program that takes the most memory."""
    return max(programs.values(), key=lambda facts: facts.bytes_per_chip)
