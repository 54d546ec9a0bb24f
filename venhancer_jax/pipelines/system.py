"""Interface of an enhancement system, for the code that all systems share.

A `SystemSpec` describes a system before any weights are loaded; its `load` returns a `System`.
The registry (`pipelines/registry.py`) finds the spec of a system by name.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from etils import epath
from jax.sharding import Mesh

from venhancer_jax.models.functional import FunctionalModule
from venhancer_jax.pipelines.continuation import FinishedLatents, Place
from venhancer_jax.pipelines.frame_times import OutputClock
from venhancer_jax.pipelines.options import EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """Size and rate of an input clip.

    Attributes:
      frames: number of frames.
      height: rows of a frame, in pixels.
      width: columns of a frame, in pixels.
      rate: frames per second.
    """

    frames: int
    height: int
    width: int
    rate: Fraction


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """Size and rate of an output clip.

    Attributes:
      frames: number of frames.
      size: `(height, width)` in pixels.
      rate: frames per second.
    """

    frames: int
    size: tuple[int, int]
    rate: Fraction

    @property
    def seconds(self) -> float:
        """Returns the duration in seconds."""
        return float(self.frames / self.rate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Borders:
    """Where parts of an enhancement meet, in the middle of what neighbours share.

    Attributes:
      frames: first frame of the grid behind each border of windows.
      rows: first row of the output below each border of tiles.
      columns: first column of the output right of each border of tiles.
    """

    frames: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()


class ClipPlan(Protocol):
    """Sizes, frames and windows of one enhancement, computed before anything is compiled."""

    @property
    def output(self) -> Output:
        """Returns size and rate of the output."""
        ...

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns `(height, width)` of the padded frames that the networks see, in pixels."""
        ...

    @property
    def window(self) -> int:
        """Returns the number of frames of the longest window."""
        ...

    @property
    def window_count(self) -> int:
        """Returns the number of windows."""
        ...

    @property
    def borders(self) -> Borders:
        """Returns where windows and tiles meet."""
        ...

    @property
    def work(self) -> int:
        """Returns a number that grows with memory and time, to compare clips by."""
        ...

    @property
    def spilled(self) -> bool:
        """Returns whether latents wait on the disk where all windows of the clip are joined."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramSpec:
    """A jitted function as a run calls it, with shapes in place of arrays.

    Attributes:
      name: stage of the run.
      function: function under `jax.jit`.
      static: first arguments, which are not arrays.
      arguments: other arguments, `jax.ShapeDtypeStruct` with shardings: parameters, main input.
      mesh: mesh in use while the function runs.
      shards: number of chips that share the work, where the compiled program does not show it.
      calls: number of calls of the run, or of the update, that is planned.
      resident_bytes: bytes on each chip of arrays that are not arguments.
      scales_with: what its temporaries grow with: `window` (frames), `pixels` (rows and columns
        of the main input `[..., h, w, C]`).
    """

    name: str
    function: Any
    static: tuple[Any, ...] = ()
    arguments: tuple[Any, ...]
    mesh: Mesh
    shards: float
    calls: float = 1.0
    resident_bytes: int = 0
    scales_with: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class EnhancedSegment:
    """A segment of a clip, denoised.

    Attributes:
      finished: latents that the next segment of the scene continues; None if it needs none.
      decode: function from an input frame to the frames of the grid from the first one of the
        segment to that one, uint8 RGB `[H, W, 3]` each; the last ones are missing where the segment
        ends before.
    """

    finished: FinishedLatents | None
    decode: Callable[[int], Iterator[np.ndarray]]


class System(Protocol):
    """Networks with weights that enhance clips."""

    @property
    def options_class(self) -> type[EnhanceOptions]:
        """Returns the dataclass of the options of an enhancement."""
        ...

    @property
    def mesh(self) -> Mesh | None:
        """Returns the devices in use; None for one device."""
        ...

    def plan(self, clip: Clip, options: Any) -> ClipPlan:
        """Plans the enhancement of a clip.

        Raises:
          InputError: options that do not fit the clip.
        """
        ...

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: Any,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Enhances a clip.

        Args:
          frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type, consumed one by
            one.
          rate: frames per second of the input.
          options: options of this system.
          progress: callback for the progress of each stage.

        Yields:
          RGB frames `[H', W', 3]` of the type of `frames`, at the rate of the plan.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        ...

    def segment_sizes(self, rate: Fraction, options: Any) -> SegmentSizes:
        """Returns how a clip of `rate` frames per second is cut into segments."""
        ...

    def output_clock(self, rate: Fraction, time_base: Fraction | None, options: Any) -> OutputClock:
        """Returns the times at which the frames of the output are shown; see `output_clock`."""
        ...

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: Any,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """Denoises a segment of a clip; its frames are decoded when they are requested.

        Args:
          frames: uint8 RGB frames `[H, W, 3]`, all of one size, which are all read.
          rate: frames per second of the input.
          options: options of this system.
          place: place of the segment in its clip.
          progress: callback for the progress of each stage.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        ...

    def prepare(self, options: Sequence[Any]) -> None:
        """Computes what the clips of a run share, such as the features of all prompts."""
        ...

    def programs(self, plan: Any, options: Any) -> list[ProgramSpec]:
        """Lists what an enhancement compiles, in the order of the run."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkKind:
    """A network of a system: its config class and its module class.

    Attributes:
      config: frozen dataclass of sizes, whose defaults are the published ones.
      module: Flax NNX module, constructed as `module(config, rngs)`.
    """

    config: type[Any]
    module: Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A network with its parameters.

    Attributes:
      config: sizes and types of the network.
      network: the network as a pure function.
      params: parameters, a flat dictionary of arrays; of `jax.ShapeDtypeStruct` in a plan.
    """

    config: Any
    network: FunctionalModule
    params: Any


class Load(Protocol):
    """Loads the networks of a system."""

    def __call__(
        self, folders: Mapping[str, epath.PathLike], weights: Any, *, mesh: Mesh | None
    ) -> System:
        """Loads a system.

        Args:
          folders: weight folder of each network, by role.
          weights: weight options of the system.
          mesh: devices to run on; None for one device.

        Raises:
          InputError: a folder holds no weights, or those of another network.
        """
        ...


class LoadAbstract(Protocol):
    """Builds a system with shapes in place of parameters."""

    def __call__(self, weights: Any, *, mesh: Mesh) -> System:
        """Builds the system that weight options name, for devices that need not exist."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """Description of a system before its weights are loaded.

    Attributes:
      name: name of the system in configs.
      options: dataclass of the options of an enhancement.
      weights: dataclass of the options of presets and checkpoints.
      networks: networks that only this system has, by the names that weight folders store.
      presets: config of each network of the system by role, by the name of the preset.
      output: computes the output of a clip; raises InputError for options that do not fit.
      checkpoints: returns the checkpoint or folder of each role, for weight options.
      load: loads the system.
      load_abstract: builds the system with shapes in place of parameters.
      planned_scale: enlargement of a clip that is planned by the size of its output.
      training: module with the training objectives of the system, or empty.
      conversion: module with the checkpoint layouts of the system, or empty.
      parity: module with the replays of recordings of the system, or empty.
    """

    name: str
    options: type[EnhanceOptions]
    weights: type[WeightOptions]
    networks: Mapping[str, NetworkKind]
    presets: Mapping[str, Mapping[str, Any]]
    output: Callable[[Clip, Any], Output]
    checkpoints: Callable[[Any], Mapping[str, str]]
    load: Load
    load_abstract: LoadAbstract
    planned_scale: int = 1
    training: str = ""
    conversion: str = ""
    parity: str = ""
