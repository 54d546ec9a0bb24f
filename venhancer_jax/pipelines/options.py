"""What a user may ask of an enhancement, checked before anything is loaded."""

import dataclasses
from fractions import Fraction
from typing import Literal

from venhancer_jax.diffusion.timesteps import FAST_LEAST_LEVELS, MODES, Mode
from venhancer_jax.errors import InputError
from venhancer_jax.video.motion import FRAME_INTERPOLATIONS, FrameInterpolation

SOLVERS = ("dpmpp_2m_sde", "heun", "ddim")
COMPATS = ("default", "official")
LAST_TIME = 999
MAX_REUSE = 1000
MAX_NOISE_AUG = 300
MAX_SCALE = 8.0
MAX_FPS = Fraction(1000)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceOptions:
    """How to enhance a clip.

    Attributes:
      up_scale: enlargement of both sides, at most 8; `target_size` goes before it.
      target_size: `(height, width)` of the output in pixels.
      target_fps: frames a second of the output; by default those of the input.
      prompt: what the video shows.
      negative_prompt: what it should not look like; by default a list of usual faults.
      noise_aug: noise on the key frames, 0 (keep them) to 300 (refine them freely).
      solver: `dpmpp_2m_sde`, `heun` or `ddim`.
      solver_mode: `fast` visits 15 fixed times, `normal` as many as `steps`.
      steps: of the normal mode.
      guidance_scale: 1 turns guidance off.
      guidance_rescale: 0 to 1, how much of the contrast that guidance adds is taken back.
      guidance_interval: first and last time step, of 0 to 999, with guidance; without it a step
        takes half the work (arXiv 2404.07724).
      guidance_reuse: the difference that guidance amplifies is computed in every k-th step.
      controlnet_reuse: the features of the ControlNet are computed in every k-th step.
      deep_reuse: the levels of the networks below the first one are computed in every k-th step
        (arXiv 2312.00858).
      window: frames that are denoised together.
      seed: of all noise.
      compat: `default` gives exactly what was asked; `official` repeats the published program,
        its quirks included.
      noise_levels: the process starts at this many of the 1,000 levels.
      start_noise: share of the noise of the first level that is there; 0 for models that enhance in
        one step.
      interpolation: what the frames between two key frames start from: the one before (`previous`, as the
        published networks), or both, moved there by the optical flow (`flow`).
      shape_buckets: brings clips to one of few shapes, for which programs may be compiled already;
        changes results a little (`buckets`).
      official_scale: scale condition of the official program, which knows no other.
      official_pad: least working size of the official program, `(height, width)` in pixels.
    """

    up_scale: float = 4.0
    target_size: tuple[int, int] | None = None
    target_fps: Fraction | None = None
    prompt: str = "a good video"
    negative_prompt: str | None = None
    noise_aug: int = 200
    solver: Literal["dpmpp_2m_sde", "heun", "ddim"] = "dpmpp_2m_sde"
    solver_mode: Mode = "fast"
    steps: int = 15
    guidance_scale: float = 7.5
    guidance_rescale: float = 0.2
    guidance_interval: tuple[int, int] = (0, LAST_TIME)
    guidance_reuse: int = 1
    controlnet_reuse: int = 1
    deep_reuse: int = 1
    window: int = 32
    seed: int = 666
    compat: Literal["default", "official"] = "default"
    noise_levels: int = 900
    start_noise: float = 1.0
    interpolation: FrameInterpolation = "previous"
    shape_buckets: bool = False
    official_scale: int = 8
    official_pad: tuple[int, int] = (720, 1280)

    def __post_init__(self):
        _one_of("solver", self.solver, SOLVERS)
        _one_of("solver_mode", self.solver_mode, MODES)
        _one_of("compat", self.compat, COMPATS)
        _one_of("interpolation", self.interpolation, FRAME_INTERPOLATIONS)
        _within("up_scale", self.up_scale, 1 / 16, MAX_SCALE)
        _within("noise_aug", self.noise_aug, 0, MAX_NOISE_AUG)
        _within("steps", self.steps, 1, 1000)
        _within("guidance_scale", self.guidance_scale, 0, 100)
        _within("guidance_rescale", self.guidance_rescale, 0, 1)
        self._check_reuse()
        _within("window", self.window, 2, 1000)
        _within("seed", self.seed, 0, 2**32 - 1)
        _within("noise_levels", self.noise_levels, 2, 1000)
        _within("start_noise", self.start_noise, 0, 1)
        if self.solver_mode == "fast" and self.noise_levels < FAST_LEAST_LEVELS:
            raise InputError(
                f"noise_levels {self.noise_levels}: expected at least {FAST_LEAST_LEVELS} with"
                " solver_mode 'fast'; 'normal' takes fewer"
            )
        if self.solver_mode == "normal" and self.steps >= self.noise_levels:
            raise InputError(
                f"steps {self.steps}: expected fewer than noise_levels, {self.noise_levels}"
            )
        if self.official and self.interpolation != "previous":
            raise InputError(
                f"interpolation {self.interpolation!r}: compat 'official' knows only 'previous'"
            )
        if self.official and self.shape_buckets:
            raise InputError("shape_buckets: compat 'official' repeats the published shapes")
        if self.target_size is not None:
            if len(self.target_size) != 2:
                raise InputError(f"target_size {self.target_size}: expected (height, width)")
            for side, length in zip(("height", "width"), self.target_size, strict=True):
                _within(f"target_size {side}", length, 16, 16384)
        if self.target_fps is not None and not 0 < self.target_fps <= MAX_FPS:
            raise InputError(
                f"target_fps {self.target_fps}: expected a frame rate above 0 and at most {MAX_FPS}"
            )

    def _check_reuse(self) -> None:
        interval = self.guidance_interval
        whole = len(interval) == 2 and all(isinstance(t, int) for t in interval)
        if not whole or not 0 <= interval[0] <= interval[1] <= LAST_TIME:
            raise InputError(
                f"guidance_interval {interval}: expected two whole numbers from 0 to {LAST_TIME},"
                " the lower one first"
            )
        for name in ("guidance_reuse", "controlnet_reuse", "deep_reuse"):
            every = getattr(self, name)
            if not isinstance(every, int) or not 1 <= every <= MAX_REUSE:
                raise InputError(
                    f"{name} {every}: expected a whole number from 1 (off) to {MAX_REUSE}"
                )
            if every > 1 and self.solver == "heun":
                raise InputError(
                    f"{name} {every}: expected 1 with solver 'heun', whose second call of a step"
                    " corrects the first; 'dpmpp_2m_sde' and 'ddim' can reuse"
                )

    @property
    def reuses(self) -> bool:
        """Whether any step takes less than the whole work."""
        everything = (0, LAST_TIME), 1, 1, 1
        asked = self.guidance_interval, self.guidance_reuse, self.controlnet_reuse, self.deep_reuse
        return asked != everything

    @property
    def official(self) -> bool:
        """Whether the published program is repeated with its quirks."""
        return self.compat == "official"


def parse_fps(value: str | float | Fraction) -> Fraction:
    """A frame rate as a fraction: 24, 23.976 (meant as 24000/1001), "30000/1001".

    Raises:
      InputError: not a positive number.
    """
    try:
        rate = Fraction(value) if not isinstance(value, float) else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_FPS:
        raise InputError(
            f"target_fps {value!r}: expected a number such as 24, 59.94 or 30000/1001,"
            f" at most {MAX_FPS}"
        )
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    near_ntsc = ntsc > 0 and rate.denominator != 1 and abs(rate - ntsc) < Fraction(1, 200)
    return ntsc if near_ntsc else rate


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(allowed)}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} {value}: expected a number from {low:g} to {high:g}")
