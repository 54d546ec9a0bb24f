"""Shrinking and enlarging of frames for the making of training pairs."""

import functools

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from venhancer_jax.errors import InputError
from venhancer_jax.video.resize import resize_bilinear

METHODS = ("bilinear", "bicubic", "area")
_SHRINKING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def resample(
    frames: np.ndarray, size: tuple[int, int], method: str = "bilinear", *, antialias: bool = True
) -> np.ndarray:
    """Frames of another size.

    Args:
      frames: `[F, H, W, C]` float32.
      size: `(height, width)` of the result.
      method: `bilinear`; `bicubic` (Keys 1981 with a = -1/2); `area`, the mean over the ground of a
        pixel, which repeats pixels when it enlarges.
      antialias: widen the kernel when shrinking; `area` always does.

    Returns:
      `[F, height, width, C]` float32; bicubic may leave the range of the input.

    Raises:
      InputError: another method.
    """
    if method not in METHODS:
        raise InputError(f"resampling {method!r}: expected one of {', '.join(METHODS)}")
    if frames.shape[1:3] == size:
        return frames
    if method == "bilinear":
        return resize_bilinear(frames, size, antialias=antialias)
    matrix = _bicubic if method == "bicubic" else _area
    rows = matrix(frames.shape[1], size[0], antialias)
    columns = matrix(frames.shape[2], size[1], antialias)
    tall = np.einsum("oh,fhwc->fowc", rows, frames, optimize=True)
    return np.einsum("pw,fowc->fopc", columns, tall, optimize=True)


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Rounded and clipped to 0 to 255."""
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def shrink_to_cover(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrinks frames, by area, as far as they still cover `height x width`.

    Args:
      frames: uint8 `[F, H, W, 3]`.
      height: least rows of the result.
      width: least columns.

    Returns:
      uint8 `[F, h, w, 3]`; what is smaller than the aim in one direction stays as it is.
    """
    rows, columns = frames.shape[1:3]
    ratio = max(height / rows, width / columns)
    if ratio >= 1:
        return frames
    size = max(height, round(rows * ratio)), max(width, round(columns * ratio))
    result = np.empty((len(frames), *size, 3), np.uint8)
    reformatter = VideoReformatter()
    for frame, small in zip(frames, result, strict=True):
        # Channel by channel, because FFmpeg scales RGB by way of YUV.
        for channel in range(3):
            plane = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(frame[..., channel]), format="gray"
            )
            scaled = reformatter.reformat(
                plane, width=size[1], height=size[0], interpolation=_SHRINKING
            )
            small[..., channel] = scaled.to_ndarray()
    return result


@functools.lru_cache(maxsize=64)
def _bicubic(length: int, out: int, antialias: bool) -> np.ndarray:
    """Weights `[out, length]` float32."""
    stride = length / out
    support = stride if antialias and stride > 1 else 1.0
    centre = (np.arange(out) + 0.5) * stride - 0.5
    reach = int(np.ceil(2 * support)) + 1
    taps = np.floor(centre)[:, None].astype(int) + np.arange(-reach, reach + 1)
    x = np.abs(taps - centre[:, None]) / support
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    values = np.where(x <= 1, near, np.where(x < 2, far, 0))
    weights = np.zeros((out, length))
    # Taps beyond the edge take the pixel at the edge.
    np.add.at(weights, (np.arange(out)[:, None], np.clip(taps, 0, length - 1)), values)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _area(length: int, out: int, antialias: bool) -> np.ndarray:
    """Weights `[out, length]` float32: the overlap of each pixel with each of the other size."""
    edges = np.arange(out + 1) * (length / out)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
