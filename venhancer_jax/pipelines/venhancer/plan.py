"""Plan of an enhancement as data: sizes, frame times, windows, steps.

A plan needs the sizes of the networks, not their weights, and can be printed before anything is
compiled.
"""

import dataclasses
import math
from fractions import Fraction

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.diffusion.solvers import (
    HeunSteps,
    LinearSteps,
    ddim_steps,
    dpmpp_2m_sde_steps,
    heun_steps,
)
from venhancer_jax.diffusion.timesteps import edm_sigmas_for, even_times, fast_times
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.frame_times import nearest_frames
from venhancer_jax.pipelines.options import MAX_SCALE
from venhancer_jax.pipelines.pieces import (
    Box,
    Window,
    faded_spans,
    key_frame_step,
    key_frame_windows,
    window_borders,
)
from venhancer_jax.pipelines.system import Borders, Clip, Output
from venhancer_jax.pipelines.tiles import Tiling, tile_boxes
from venhancer_jax.pipelines.venhancer import buckets, official
from venhancer_jax.pipelines.venhancer.options import ControlledOptions, VEnhancerOptions

# The network was trained to interpolate at most 8 frames between two key frames.
MAX_STRIDE = 9
_LEAST_SIDE = 16
# Frames that neighbouring windows share: jumps of the shipped model at their borders are then those
# of a clip in one window within 1 percent (11 percent more with a single frame).
_WINDOW_OVERLAP = 4
# Pixels of a scene whose latents are held in memory: 500 frames of 1080p.
MOST_IN_MEMORY = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpacePlan:
    """Sizes in pixels.

    Attributes:
      size: `(height, width)` of the output.
      padding: `(left, right, top, bottom)` pixels around the output while it is worked on.
      scale: enlargement that the network is conditioned on.
      rows: overlapping tiles of the rows of the denoiser's latents, blended at each step.
      columns: overlapping tiles of the columns of the denoiser's latents.
    """

    size: tuple[int, int]
    padding: tuple[int, int, int, int]
    scale: float
    rows: tuple[Window, ...] = ()
    columns: tuple[Window, ...] = ()

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns `(height, width)` with the padding."""
        left, right, top, bottom = self.padding
        return self.size[0] + top + bottom, self.size[1] + left + right

    @property
    def tiles(self) -> int:
        """Returns the number of tiles of a frame."""
        return max(1, len(self.rows) * len(self.columns))

    def cut(self, tiling: Tiling, pixels: int) -> "SpacePlan":
        """Returns the plan with tiles.

        Args:
          tiling: how latents are cut.
          pixels: rows and columns of pixels for each latent.
        """
        height, width = self.working_size
        rows, columns = tiling.windows((height // pixels, width // pixels))
        return dataclasses.replace(self, rows=tuple(rows), columns=tuple(columns))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimePlan:
    """Frames of the grid on which the networks work, and of the output.

    Attributes:
      stride: frames of the grid from one input frame to the next.
      key_index: index of the input frame for each frame of the grid, -1 for interpolated frames.
      take: index on the grid of each frame of the output.
      rate: frames per second of the output.
      windows: `(start, stop)` of each window on the grid.
    """

    stride: int
    key_index: tuple[int, ...]
    take: tuple[int, ...]
    rate: Fraction
    windows: tuple[Window, ...]

    @property
    def frames(self) -> int:
        """Returns the number of frames of the grid."""
        return len(self.key_index)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VEnhancerPlan:
    """Plan of one clip.

    Attributes:
      clip: input clip.
      space: sizes.
      time: frames.
    """

    clip: Clip
    space: SpacePlan
    time: TimePlan

    @property
    def output(self) -> Output:
        """Returns size and rate of the output."""
        return Output(frames=len(self.time.take), size=self.space.size, rate=self.time.rate)

    @property
    def working_size(self) -> tuple[int, int]:
        """Returns `(height, width)` of the padded frames, in pixels."""
        return self.space.working_size

    @property
    def window(self) -> int:
        """Returns the number of frames of the longest window."""
        return max(stop - start for start, stop in self.time.windows)

    @property
    def window_count(self) -> int:
        """Returns the number of windows: of frames, times tiles."""
        return len(self.time.windows) * self.space.tiles

    @property
    def borders(self) -> Borders:
        """Returns where windows and tiles meet."""
        left, _, top, _ = self.space.padding
        sides = []
        for windows, working, before, side in zip(
            (self.space.rows, self.space.columns),
            self.space.working_size,
            (top, left),
            self.space.size,
            strict=True,
        ):
            scale = working / max((stop for _, stop in windows), default=1)
            found = window_borders(windows, scale=scale, shift=-before)
            sides.append(tuple(border for border in found if 0 < border < side))
        return Borders(
            frames=tuple(window_borders(self.time.windows)), rows=sides[0], columns=sides[1]
        )

    def boxes(self) -> list[Box]:
        """Returns the windows of the denoiser in latents, which are blended at each step."""
        return tile_boxes(faded_spans(self.time.windows), self.space.rows, self.space.columns)

    @property
    def work(self) -> int:
        """Returns the number of pixels that the networks see, to compare clips by."""
        return math.prod(self.space.working_size) * self.time.frames

    @property
    def spilled(self) -> bool:
        """Returns whether latents wait on the disk where all windows of the clip are joined."""
        return self.work > MOST_IN_MEMORY


def plan_clip(
    clip: Clip, options: ControlledOptions, *, rows: tuple[int, int] = (0, 1), columns: int = 1
) -> VEnhancerPlan:
    """Plans the enhancement of a clip.

    Args:
      clip: input clip.
      options: options of the user.
      rows: `(remainder, modulus)` of the heights that the networks take, in pixels; by default any.
      columns: modulus of the widths that the networks take, in pixels.

    Raises:
      InputError: options that do not fit the clip.
    """
    return VEnhancerPlan(
        clip=clip,
        space=plan_space(clip.height, clip.width, options, rows, columns),
        time=plan_time(clip.frames, clip.rate, options),
    )


def plan_space(
    height: int, width: int, options: ControlledOptions, rows: tuple[int, int], columns: int
) -> SpacePlan:
    """Plans the sizes for frames of `height` by `width` pixels.

    Args:
      height: rows of the input.
      width: columns of the input.
      options: options of the user.
      rows: `(remainder, modulus)` of the heights that the networks take, in pixels.
      columns: modulus of the widths that the networks take, in pixels.

    Raises:
      InputError: an output or a working size that the networks cannot take.
    """
    if options.quirks.published_sizes:
        return _published_space(height, width, options, rows, columns)
    size = options.target_size or (
        max(1, round(height * options.up_scale)),
        max(1, round(width * options.up_scale)),
    )
    options.check_output_size(*size)
    remainder, modulus = rows
    if min(size) < _LEAST_SIDE:
        raise InputError(
            f"an output of {size[0]}x{size[1]} (height x width) from {height}x{width}: both sides"
            f" must have at least {_LEAST_SIDE} pixels; raise up_scale or target_size"
        )
    bottom = (remainder - size[0]) % modulus
    right = -size[1] % columns
    scale = math.sqrt(size[0] * size[1] / (height * width))
    return SpacePlan(
        size=size, padding=(0, right, 0, bottom), scale=min(max(scale, 1.0), MAX_SCALE)
    )


def grid_stride(rate: Fraction, options: ControlledOptions) -> int:
    """Returns the frames of the grid for each input frame.

    Args:
      rate: frames per second of the input.
      options: options of the user.
    """
    target = options.output_rate(rate)
    if options.quirks.published_times:
        return official.interpolated_frames(float(rate), float(target)) + 1
    near = (target / rate).limit_denominator(8)
    if near <= 1:
        return 1
    if near.numerator <= MAX_STRIDE:
        return near.numerator
    # No grid within reach has all output times: twice as fine as needed stays close to them.
    return min(MAX_STRIDE, 2 * math.ceil(target / rate))


def plan_time(
    frames: int, rate: Fraction, options: ControlledOptions, *, few_lengths: bool = False
) -> TimePlan:
    """Plans the frames for a clip of `frames` at `rate` per second.

    The grid has every input frame on it as a key frame. Where the target rate is not a multiple of
    the input's, the grid is finer than the output, which takes the frames nearest to its own
    times: 24 to 60 computes 120 and takes every second one. Beyond nine times the input's rate
    frames of the grid are held. The output lasts as long as the input; the last frame is held, not
    invented. With `few_lengths` or `shape_buckets` the grid is extended to one of few lengths.
    """
    target, stride = options.output_rate(rate), grid_stride(rate, options)
    if options.quirks.published_times:
        index = tuple(official.key_index(frames, stride - 1))
        return TimePlan(
            stride=stride,
            key_index=index,
            take=tuple(range(len(index))),
            rate=rate * stride,
            windows=tuple(official.time_windows(len(index), stride - 1, options.window)),
        )
    keys = frames
    if few_lengths or options.shape_buckets:
        keys = buckets.key_frames(frames, stride, options.window)
    index = tuple(official.key_index(keys, stride - 1))
    return TimePlan(
        stride=stride,
        key_index=index,
        take=nearest_frames(frames, target / rate, stride),
        rate=target,
        windows=tuple(key_frame_windows(len(index), stride, options.window, _overlap(options))),
    )


def window_keys(stride: int, options: ControlledOptions) -> tuple[int, int]:
    """Returns the key frames of a window, and those that neighbouring windows share.

    Args:
      stride: frames of the grid from one key frame to the next.
      options: options of the user.
    """
    intervals = max(1, (options.window - 1) // stride)
    step = key_frame_step(stride, options.window, _overlap(options))
    return intervals + 1, intervals + 1 - step


def _overlap(options: ControlledOptions) -> int | None:
    """Returns the frames that windows share; None for half of them."""
    if options.compat == "official":
        return None
    if options.window_overlap is None:
        return min(_WINDOW_OVERLAP, (options.window + 1) // 2)
    return options.window_overlap


def plan_steps(schedule: Schedule, options: ControlledOptions) -> LinearSteps | HeunSteps:
    """Computes the step arrays of the requested solver."""
    t_max = options.noise_levels - 1
    if options.solver == "ddim":
        fast = options.solver_mode == "fast"
        times = fast_times(t_max) if fast else even_times(options.steps, t_max)
        return ddim_steps(schedule, times)
    edm_sigmas = edm_sigmas_for(
        schedule,
        solver=options.solver,
        mode=options.solver_mode,
        steps=options.steps,
        t_max=t_max,
        whole_times=options.quirks.whole_times,
    )
    steps = heun_steps if options.solver == "heun" else dpmpp_2m_sde_steps
    return steps(schedule, edm_sigmas, official_start=options.quirks.scale_start)


def hint_noise(schedule: Schedule, options: ControlledOptions) -> tuple[int, float, float]:
    """Returns time step, signal level and noise level of the noise augmentation."""
    t = options.noise_aug - 1
    if t < 0 and not options.quirks.zero_means_all_noise:
        return 0, 1.0, 0.0
    return t, float(schedule.alphas[t]), float(schedule.sigmas[t])


def _published_space(
    height: int, width: int, options: ControlledOptions, rows: tuple[int, int], columns: int
) -> SpacePlan:
    assert isinstance(options, VEnhancerOptions)
    size = options.target_size or official.target_size(height, width, options.up_scale)
    options.check_output_size(*size)
    padding = official.padding(*size, options.official_pad)
    plan = SpacePlan(size=size, padding=padding, scale=options.official_scale)
    working = plan.working_size
    if working[0] % rows[1] != rows[0] or working[1] % columns:
        raise InputError(
            f"official_pad {options.official_pad} results in {working[0]}x{working[1]} (height x"
            f" width): expected a height of {rows[0]} more than a multiple of {rows[1]} and a"
            f" width that is a multiple of {columns}"
        )
    return plan
