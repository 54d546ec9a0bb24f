"""What will be done to a clip, as data: sizes, frame times, windows, steps.

A plan is made without any network and can be printed before anything is compiled.
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
from venhancer_jax.pipelines.options import MAX_SCALE, EnhanceOptions
from venhancer_jax.pipelines.venhancer import official
from venhancer_jax.video.windows import Window, equal_windows

# The network was trained to put at most 8 frames between two key frames.
MAX_STRIDE = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpacePlan:
    """Sizes in pixels.

    Attributes:
      size: `(height, width)` of the output.
      padding: `(left, right, top, bottom)` around it while it is worked on.
      scale: by which the input is enlarged, as the network is told.
    """

    size: tuple[int, int]
    padding: tuple[int, int, int, int]
    scale: float

    @property
    def working_size(self) -> tuple[int, int]:
        """`(height, width)` with the padding."""
        left, right, top, bottom = self.padding
        return self.size[0] + top + bottom, self.size[1] + left + right


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimePlan:
    """Frames.

    Attributes:
      stride: frames of the grid from one input frame to the next.
      key_index: for each frame of the grid its input frame, -1 for frames to be made.
      take: the frame of the grid that each frame of the output is.
      rate: frames a second of the output.
      windows: `(start, end)` on the grid of each window.
    """

    stride: int
    key_index: tuple[int, ...]
    take: tuple[int, ...]
    rate: Fraction
    windows: tuple[Window, ...]

    @property
    def frames(self) -> int:
        """Frames of the grid."""
        return len(self.key_index)


def plan_space(
    height: int, width: int, options: EnhanceOptions, rows: tuple[int, int], columns: int
) -> SpacePlan:
    """Sizes for frames of `height` by `width` pixels.

    Args:
      height: of the input.
      width: of the input.
      options: of the user.
      rows: `(remainder, modulus)` of the heights, in pixels, that the networks take.
      columns: modulus of the widths, in pixels, that they take.

    Raises:
      InputError: an output or a working size that the networks cannot take.
    """
    if options.official:
        size = options.target_size or official.target_size(height, width, options.up_scale)
        padding = official.padding(*size, options.official_pad)
        plan = SpacePlan(size=size, padding=padding, scale=options.official_scale)
        working = plan.working_size
        if working[0] % rows[1] != rows[0] or working[1] % columns:
            raise InputError(
                f"official_pad {options.official_pad} makes {working[0]}x{working[1]} (height x"
                f" width): expected a height of {rows[0]} more than a multiple of {rows[1]} and a"
                f" width that is a multiple of {columns}"
            )
        return plan
    size = options.target_size or (
        max(1, round(height * options.up_scale)),
        max(1, round(width * options.up_scale)),
    )
    remainder, modulus = rows
    least = 16
    if min(size) < least:
        raise InputError(
            f"an output of {size[0]}x{size[1]} (height x width) from {height}x{width}: both sides"
            f" must have at least {least} pixels; raise up_scale or target_size"
        )
    bottom = (remainder - size[0]) % modulus
    right = -size[1] % columns
    scale = math.sqrt(size[0] * size[1] / (height * width))
    return SpacePlan(
        size=size, padding=(0, right, 0, bottom), scale=min(max(scale, 1.0), MAX_SCALE)
    )


def plan_time(frames: int, rate: Fraction, options: EnhanceOptions) -> TimePlan:
    """Frames for a clip of `frames` at `rate` a second.

    The grid has every input frame on it as a key frame. Where the target rate is no multiple of
    the input's, the grid is finer than the output, which takes the frames at its own times: 24 to
    60 makes 120 and takes every second one. The output lasts as long as the input; the last frame
    is held, not invented.

    Raises:
      InputError: more frames between two of the input than the network can make.
    """
    if options.official:
        interpolation = official.interpolated_frames(float(rate), float(options.target_fps or rate))
        stride = interpolation + 1
        index = tuple(official.key_index(frames, interpolation))
        return TimePlan(
            stride=stride,
            key_index=index,
            take=tuple(range(len(index))),
            rate=rate * stride,
            windows=tuple(official.time_windows(len(index), interpolation, options.window)),
        )
    target = options.target_fps or rate
    ratio = target / rate
    if ratio > MAX_STRIDE:
        raise InputError(
            f"target_fps {float(target):g} is {float(ratio):.3g} times the input's"
            f" {float(rate):g}: at most {MAX_STRIDE} times is possible; ask for"
            f" {float(rate * MAX_STRIDE):g} or less"
        )
    stride = _stride(ratio)
    index = tuple(official.key_index(frames, stride - 1))
    count = max(1, math.floor(frames * ratio + Fraction(1, 2)))
    nearest = (math.floor(j * stride / ratio + Fraction(1, 2)) for j in range(count))
    return TimePlan(
        stride=stride,
        key_index=index,
        take=tuple(min(i, len(index) - 1) for i in nearest),
        rate=target,
        windows=tuple(equal_windows(len(index), stride, options.window)),
    )


def plan_steps(schedule: Schedule, options: EnhanceOptions) -> LinearSteps | HeunSteps:
    """Step arrays of the solver that the options name."""
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
        whole_times=not options.official,
    )
    make = heun_steps if options.solver == "heun" else dpmpp_2m_sde_steps
    return make(schedule, edm_sigmas, official_start=options.official)


def hint_noise(schedule: Schedule, options: EnhanceOptions) -> tuple[int, float, float]:
    """Time step, signal and noise level of the noise augmentation.

    In the official program a `noise_aug` of 0 means time step -1, which is its last: pure noise.
    """
    t = options.noise_aug - 1
    if not options.official and t < 0:
        return 0, 1.0, 0.0
    return t, float(schedule.alphas[t]), float(schedule.sigmas[t])


def _stride(ratio: Fraction) -> int:
    """Grid frames for each input frame."""
    near = ratio.limit_denominator(8)
    if near <= 1:
        return 1
    if near.numerator <= MAX_STRIDE:
        return near.numerator
    # No grid within reach has all output times: twice as fine as needed keeps them close.
    return min(MAX_STRIDE, 2 * math.ceil(ratio))
