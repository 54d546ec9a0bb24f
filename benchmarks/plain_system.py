"""What systems without networks share: a clip is one window, and no weights are loaded."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jax.sharding import Mesh

from venhancer_jax.pipelines.frame_times import OutputClock, output_clock
from venhancer_jax.pipelines.options import EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.system import Borders, Clip, Output, ProgramSpec, SystemSpec


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of a clip, which is one window."""

    output: Output
    window_count: int = 1
    spilled: bool = False

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns the size of the output."""
        return self.output.size

    @property
    def window(self) -> int:
        """Returns the number of frames."""
        return self.output.frames

    @property
    def borders(self) -> Borders:
        """Returns no borders."""
        return Borders()

    @property
    def work(self) -> int:
        """Returns the number of frames."""
        return self.output.frames


@dataclasses.dataclass(frozen=True)
class PlainSystem:
    """A system whose output has the size of its input."""

    mesh: Mesh | None
    options_class = EnhanceOptions

    @classmethod
    def output(cls, clip: Clip, options: EnhanceOptions) -> Output:
        """Returns size and rate of the output of a clip."""
        rate = options.output_rate(clip.rate)
        return Output(frames=clip.frames, size=(clip.height, clip.width), rate=rate)

    @staticmethod
    def stride(rate: Fraction, options: EnhanceOptions) -> int:
        """Returns the number of frames of the grid for each input frame."""
        del rate, options
        return 1

    def plan(self, clip: Clip, options: EnhanceOptions) -> Plan:
        """Plans the enhancement of a clip."""
        return Plan(self.output(clip, options))

    def prepare(self, options: Sequence[EnhanceOptions]) -> None:
        """Computes nothing."""

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: EnhanceOptions
    ) -> OutputClock:
        """Returns the times at which the frames of the output are shown."""
        return output_clock(rate, time_base, options, self.stride(rate, options))

    def programs(self, plan: Any, options: Any) -> list[ProgramSpec]:
        """Returns no programs: nothing is compiled."""
        del plan, options
        return []


def spec_of(name: str, system: type[PlainSystem]) -> SystemSpec:
    """Returns the specification of a system that has no weights."""
    return SystemSpec(
        name=name,
        options=system.options_class,
        weights=WeightOptions,
        networks={},
        presets={"": {}},
        output=system.output,
        checkpoints=lambda weights: {},
        load=lambda folders, weights, *, mesh: system(mesh),  # type: ignore[arg-type,return-value]
        load_abstract=lambda weights, *, mesh: system(mesh),  # type: ignore[arg-type,return-value]
    )
