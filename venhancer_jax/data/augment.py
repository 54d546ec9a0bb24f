"""Space-time augmentation: training pairs from clips (VEnhancer, section 3.3).

Everything here is a pure function of its arguments and of an explicit NumPy generator.
"""

import dataclasses
import itertools
import math
from fractions import Fraction
from typing import Literal

import numpy as np

from venhancer_jax.data import degrade as real_world
from venhancer_jax.data.resample import METHODS, resample, shrink_to_cover, to_uint8
from venhancer_jax.errors import InputError
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.video.flow import dis_flow, resize_flows
from venhancer_jax.video.motion import FRAME_INTERPOLATIONS, FrameInterpolation, interpolate_frames


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Distribution of training examples.

    The paper samples the stride m and the scale s not uniformly but, as each has its own
    difficulty, "scales 4x and 8x based on a ratio of 1 : 2, which is determined by their associated
    scale values". This is read as: the probability of a value is proportional to the value, for s
    and for m alike (`P(s) = s / 36` for 1 to 8).

    Attributes:
      frames: number of frames of an example.
      height: rows of an example.
      width: columns of an example.
      rate: frames per second, reached by dropping frames; None keeps that of each clip.
      shrink: whether clips are first shrunk until they just cover an example.
      strides: values of m, the number of frames from one key frame to the next.
      scales: values of s, the enlargement, from 1 up.
      enlarge: whether `low` has the size of the target; otherwise it has the size that it was
        shrunk to, and there is one scale.
      last_is_key: whether the last frame is a key frame for every stride. In the paper the number
        of frames is one more than a multiple of m; with a fixed number the last interval may be
        shorter, and without this key frame the last frames would be extrapolated.
      interpolation: frames of `low` between key frames: the key frame before (`previous`), or
        frames moved along the optical flow (`flow`).
      down: kernel of shrinking: `bilinear` (paper), `bicubic` or `area`.
      up: kernel of enlarging.
      antialias: whether the kernel of shrinking is widened.
      noise_levels: smallest and largest time step t' of the noise on the key frames, inclusive.
      text_dropout: share of examples without text, 0 to 1.
      real_world: share of examples degraded by `degrade` in place of plain shrinking, 0 to 1; the
        paper has none.
      flow_pixels: rows and columns of pixels to each vector of the flows to a key frame that
        examples have, as for pixels of a latent; 0 for examples without flows.
      flow_key_frame: key frame of the flows, `middle` or `random`.
    """

    frames: int = 25
    height: int = 320
    width: int = 512
    rate: Fraction | None = None
    shrink: bool = True
    strides: tuple[int, ...] = tuple(range(1, 9))
    scales: tuple[float, ...] = tuple(range(1, 9))
    enlarge: bool = True
    last_is_key: bool = True
    interpolation: FrameInterpolation = "previous"
    down: str = "bilinear"
    up: str = "bilinear"
    antialias: bool = True
    noise_levels: tuple[int, int] = (1, 300)
    text_dropout: float = 0.1
    real_world: float = 0.0
    flow_pixels: int = 0
    flow_key_frame: Literal["middle", "random"] = "random"

    def __post_init__(self):
        if min(self.frames, self.height, self.width) < 1:
            raise InputError(
                f"examples of {self.frames} frames of {self.height}x{self.width}: expected at"
                " least 1 each"
            )
        if not self.strides or any(m < 1 or m != int(m) for m in self.strides):
            raise InputError(f"strides={self.strides}: expected whole numbers from 1 up")
        if not self.scales or any(s < 1 for s in self.scales):
            raise InputError(f"scales={self.scales}: expected numbers from 1 up")
        if not self.enlarge and len(self.scales) > 1:
            raise InputError(
                f"scales={self.scales} with enlarge=False: expected one, as a batch has one shape"
            )
        if not 1 <= self.noise_levels[0] <= self.noise_levels[1] <= 1000:
            raise InputError(f"noise_levels={self.noise_levels}: expected two of 1 to 1000")
        for name in ("text_dropout", "real_world"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: expected a share from 0 to 1")
        if self.down not in METHODS or self.up not in METHODS:
            raise InputError(f"down={self.down!r}, up={self.up!r}: expected {', '.join(METHODS)}")
        if self.interpolation not in FRAME_INTERPOLATIONS:
            raise InputError(
                f"interpolation={self.interpolation!r}: expected {', '.join(FRAME_INTERPOLATIONS)}"
            )
        if self.rate is not None and self.rate <= 0:
            raise InputError(f"rate={self.rate}: expected frames per second, above 0, or None")

    @property
    def low_size(self) -> tuple[int, int]:
        """Returns `(height, width)` of `low`, in pixels."""
        if self.enlarge:
            return self.height, self.width
        return shrunk_size((self.height, self.width), self.scales[0])


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentParams:
    """Random parameters of one example besides its position in the clip.

    Attributes:
      stride: number of frames from one key frame to the next, m.
      scale: enlargement s.
      noise_aug: time step t' of the noise on the key frames.
      drop_text: whether the text is dropped.
      real_world: whether `degrade` is applied.
    """

    stride: int
    scale: float
    noise_aug: int
    drop_text: bool
    real_world: bool


def sample_augment_params(config: AugmentConfig, rng: np.random.Generator) -> AugmentParams:
    """Samples stride, scale, noise level and dropout, independently of each other.

    Args:
      config: distribution of examples.
      rng: random generator.
    """
    return AugmentParams(
        stride=int(_proportional(config.strides, rng)),
        scale=float(_proportional(config.scales, rng)),
        noise_aug=sample_noise_level(config, rng),
        drop_text=sample_text_dropout(config, rng),
        real_world=bool(rng.random() < config.real_world),
    )


def sample_noise_level(config: AugmentConfig, rng: np.random.Generator) -> int:
    """Samples the time step t' of the noise on the key frames, uniformly.

    Args:
      config: distribution of examples.
      rng: random generator.
    """
    low, high = config.noise_levels
    return int(rng.integers(low, high, endpoint=True))


def sample_text_dropout(config: AugmentConfig, rng: np.random.Generator) -> bool:
    """Samples whether the text is dropped.

    Args:
      config: distribution of examples.
      rng: random generator.
    """
    return bool(rng.random() < config.text_dropout)


def pick_frames(
    available: int, rate: Fraction, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Samples the frames of an example.

    Frame i of the example is the one nearest to the time i / `config.rate` after the first.

    Args:
      available: number of frames of the clip.
      rate: frames per second of the clip.
      config: distribution of examples.
      rng: random generator.

    Returns:
      Indices of frames `[F]`, ascending.

    Raises:
      InputError: the clip is too short, or has a lower rate than `config.rate`.
    """
    step = Fraction(1) if config.rate is None else rate / config.rate
    if step < 1:
        raise InputError(f"{float(rate):g} frames a second, less than rate={config.rate}")
    numbers = np.array([math.floor(i * step + Fraction(1, 2)) for i in range(config.frames)])
    span = int(numbers[-1]) + 1
    if available < span:
        raise InputError(f"{available} frames, where an example takes {span}")
    return numbers + rng.integers(0, available - span, endpoint=True)


def check_size(height: int, width: int, config: AugmentConfig) -> None:
    """Checks that frames are as large as an example.

    Args:
      height: rows of the frames.
      width: columns of the frames.
      config: distribution of examples.

    Raises:
      InputError: the frames are smaller.
    """
    if height < config.height or width < config.width:
        raise InputError(
            f"frames of {height}x{width}, smaller than an example of {config.height}x{config.width}"
        )


def crop(frames: np.ndarray, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Crops a random rectangle from frames, shrunk before if so configured.

    Args:
      frames: pictures, uint8 `[F, H, W, 3]`.
      config: distribution of examples.
      rng: random generator.

    Returns:
      uint8 `[F, height, width, 3]`.

    Raises:
      InputError: the frames are smaller than an example.
    """
    height, width = config.height, config.width
    check_size(frames.shape[1], frames.shape[2], config)
    if config.shrink:
        frames = shrink_to_cover(frames, height, width)
    top = rng.integers(0, frames.shape[1] - height, endpoint=True)
    left = rng.integers(0, frames.shape[2] - width, endpoint=True)
    return np.ascontiguousarray(frames[:, top : top + height, left : left + width])


def key_frames(frames: int, stride: int, *, last_is_key: bool = True) -> np.ndarray:
    """Returns the indices of key frames: 0, m, 2m and so on.

    Args:
      frames: number of frames of the clip.
      stride: number of frames from one key frame to the next, m.
      last_is_key: whether the last frame is one for every stride.
    """
    keys = np.arange(0, frames, stride)
    if last_is_key and keys[-1] != frames - 1:
        keys = np.append(keys, frames - 1)
    return keys


def shrunk_size(size: tuple[int, ...], scale: float, *, least: int = 1) -> tuple[int, int]:
    """Computes the size of frames after shrinking.

    Args:
      size: height and width.
      scale: ratio of the sizes, from 1 up.
      least: smallest height and width.
    """
    return max(least, round(size[0] / scale)), max(least, round(size[1] / scale))


def downsample(frames: np.ndarray, scale: float, config: AugmentConfig) -> np.ndarray:
    """Shrinks frames.

    Args:
      frames: pictures, uint8 `[K, H, W, 3]`.
      scale: ratio of the sizes, from 1 up.
      config: kernels.

    Returns:
      uint8 `[K, H / scale, W / scale, 3]`: the small video would be a file, of bytes.
    """
    small = shrunk_size(frames.shape[1:3], scale)
    if small == frames.shape[1:3]:
        return frames
    shrunk = resample(frames.astype(np.float32), small, config.down, antialias=config.antialias)
    return to_uint8(shrunk)


def augment(
    frames: np.ndarray, caption: str, config: AugmentConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Creates a training example.

    Args:
      frames: target, uint8 `[F, H, W, 3]`.
      caption: caption of the clip.
      config: distribution of examples.
      rng: random generator.

    Returns:
      `video`: the target, uint8 `[F, H, W, 3]`.
      `low`: the degraded key frames at `config.low_size`, uint8 `[F, h, w, 3]`, with frames between
        and after them by `config.interpolation`, so that the shape does not depend on the stride.
      `key_index`: int32 `[F]`, the position of each key frame in `low`, which is its own index, and
        -1 for frames between, as in the ControlNet's input.
      `scale`: float32, s.
      `noise_aug`: int32, t'.
      `stride`: int32, m.
      `tokens`: int32 `[77]` of the caption, or of the empty text.
      With `config.flow_pixels` also `key_frame`, int32, and `flow`, float32 of `flows_to`.
    """
    params = sample_augment_params(config, rng)
    keys = key_frames(len(frames), params.stride, last_is_key=config.last_is_key)
    size = frames.shape[1:3]
    if params.real_world:
        small = shrunk_size(size, params.scale, least=2)
        low = real_world.degrade(frames[keys], small, rng)
    else:
        low = downsample(frames[keys], params.scale, config)
    if config.enlarge:
        low = _enlarge(low, size, config)
    key_index = np.full(len(frames), -1, np.int32)
    key_index[keys] = keys
    low = _interpolated(low, keys, len(frames), config.interpolation)
    example = {
        "video": frames,
        "low": low,
        "key_index": key_index,
        "scale": np.asarray(params.scale, np.float32),
        "noise_aug": np.asarray(params.noise_aug, np.int32),
        "stride": np.asarray(params.stride, np.int32),
        "tokens": tokenize(["" if params.drop_text else caption])[0],
    }
    if config.flow_pixels:
        count, middle = len(frames), config.flow_key_frame == "middle"
        key = count // 2 if middle else int(rng.integers(count))
        example["key_frame"] = np.asarray(key, np.int32)
        example["flow"] = flows_to(
            key, low, (size[0] // config.flow_pixels, size[1] // config.flow_pixels)
        )
    return example


def flows_to(key: int, frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Computes the direct flow from each frame to one of them, by dense inverse search.

    Args:
      key: index of the frame that all flows lead to.
      frames: pictures, uint8 `[F, H, W, 3]`, of 16 rows and columns or more.
      size: height and width of the result, whose vectors are averages.

    Returns:
      float32 `[F, *size, 2]`: columns, then rows, in pixels of the result; 0 at `key`.
    """
    flows = np.zeros((*frames.shape[:3], 2), np.float32)
    for i in range(len(frames)):
        if i != key:
            flows[i] = dis_flow(frames[i], frames[key])
    return resize_flows(flows, size)


def _interpolated(
    low: np.ndarray, keys: np.ndarray, count: int, interpolation: FrameInterpolation
) -> np.ndarray:
    """Adds frames between key frames: `[K, H, W, 3]` at indices `keys` to `[count, H, W, 3]`."""
    whole = low[np.searchsorted(keys, np.arange(count), side="right") - 1]
    if interpolation == "flow":
        for i, (start, end) in enumerate(itertools.pairwise(keys.tolist())):
            times = [(n - start) / (end - start) for n in range(start + 1, end)]
            if times:
                whole[start + 1 : end] = interpolate_frames(low[i], low[i + 1], times)
    return whole


def _enlarge(frames: np.ndarray, size: tuple[int, int], config: AugmentConfig) -> np.ndarray:
    if frames.shape[1:3] == size:
        return frames
    return to_uint8(resample(frames.astype(np.float32), size, config.up))


def _proportional(values: tuple[float, ...], rng: np.random.Generator) -> float:
    """Samples one of `values`, each with a probability proportional to it."""
    edges = np.cumsum(values, dtype=np.float64)
    return values[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
