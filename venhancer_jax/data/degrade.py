"""Real-world degradations of videos: those of cameras, editing and the web.

Order and parameters are those of RealBasicVSR (Chan et al. 2022, section 4 and its published
configuration): blur, resize, noise, JPEG, video codec; a second, milder round; then, in random
order, the video codec once more and the last resize with a ringing low-pass filter. Parameters are
sampled once a clip, as in DOVE, and constant over its frames.
"""

import io
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from venhancer_jax.data.jpeg import jpeg
from venhancer_jax.data.kernels import random_kernel, sinc_kernel
from venhancer_jax.data.resample import METHODS, resample, to_uint8

_CODECS = ("libx264", "mpeg4")
# RealBasicVSR names x264 twice: as `libx264` and as `h264`.
_CODEC_SHARES = (2 / 3, 1 / 3)
_BIT_RATES = (1e4, 1e5)
# The bit rates are for clips up to the size of its training clips; larger ones get more.
_BIT_RATE_PIXELS = 256 * 256


def degrade(frames: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Degrades a clip.

    Args:
      frames: pictures, uint8 `[F, H, W, 3]`.
      size: height and width of the result, not larger than the frames.
      rng: random generator.

    Returns:
      uint8 `[F, height, width, 3]`.
    """
    x = frames.astype(np.float32)
    x = blur(x, random_kernel(rng, (0.2, 3)))
    x = _random_resize(x, rng, shares=(0.2, 0.7, 0.1), ratios=(0.15, 1.5))
    x = add_noise(x, rng, sigma=(1, 30), poisson=(0.05, 3))
    x = jpeg(x, int(rng.integers(30, 95, endpoint=True)))
    x = _random_codec(x, rng)

    if rng.random() < 0.8:
        x = blur(x, random_kernel(rng, (0.2, 1.5)))
    x = _random_resize(x, rng, shares=(0.3, 0.4, 0.3), ratios=(0.3, 1.2))
    x = add_noise(x, rng, sigma=(1, 25), poisson=(0.05, 2.5))
    x = jpeg(x, int(rng.integers(30, 95, endpoint=True)))

    codec_first = rng.random() < 0.5
    if codec_first:
        x = _random_codec(x, rng)
    x = resample(x, size, METHODS[rng.integers(len(METHODS))])
    x = blur(x, sinc_kernel(rng))
    if not codec_first:
        x = _random_codec(x, rng)
    return to_uint8(x)


def blur(frames: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filters frames, mirrored at their edges.

    Args:
      frames: pictures `[F, H, W, 3]` float32, 0 to 255.
      kernel: weights `[k, k]`, k odd, that a half turn leaves as they are.

    Returns:
      float32 `[F, H, W, 3]`, 0 to 255.
    """
    blurred = [cv2.filter2D(x, -1, kernel, borderType=cv2.BORDER_REFLECT) for x in frames]
    return np.clip(np.stack(blurred), 0, 255)


def add_noise(
    frames: np.ndarray,
    rng: np.random.Generator,
    *,
    sigma: tuple[float, float],
    poisson: tuple[float, float],
) -> np.ndarray:
    """Adds Gaussian or Poisson noise, to each channel alone or to all alike.

    Args:
      frames: pictures `[F, H, W, 3]` float32, 0 to 255.
      rng: random generator.
      sigma: smallest and largest standard deviation of Gaussian noise, in levels of 255.
      poisson: smallest and largest strength of Poisson noise.

    Returns:
      float32 `[F, H, W, 3]`, 0 to 255.
    """
    gaussian, gray = rng.random() < 0.5, rng.random() < 0.4
    shape = (*frames.shape[:3], 1) if gray else frames.shape
    if gaussian:
        noise = rng.standard_normal(shape, np.float32) * rng.uniform(*sigma)
    else:
        level = np.clip(frames, 0, 255)
        level = level.mean(-1, keepdims=True) if gray else level
        # As many photons to white as the picture has levels, rounded up to a power of two.
        photons = 2.0 ** np.ceil(np.log2(len(np.unique(np.rint(level)))))
        counted = rng.poisson(level / 255 * photons) / photons * 255
        noise = (counted - level) * rng.uniform(*poisson)
    return np.clip(frames + noise, 0, 255).astype(np.float32)


def compress(frames: np.ndarray, codec: str, bit_rate: float) -> np.ndarray:
    """Encodes frames with a video codec and decodes them again.

    Args:
      frames: pictures `[F, H, W, 3]`, 0 to 255, of any size.
      codec: FFmpeg's name of an encoder.
      bit_rate: bits per second, at 25 frames per second.

    Returns:
      float32 `[F, H, W, 3]`, 0 to 255.
    """
    count, height, width = frames.shape[:3]
    # Subsampled chroma takes even sizes.
    padded = np.pad(to_uint8(frames), [(0, 0), (0, height % 2), (0, width % 2), (0, 0)], "edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        # With several threads the bytes vary from run to run.
        options = {"threads": "1"} | ({"mbtree": "0"} if codec == "libx264" else {})
        stream = container.add_stream(codec, rate=Fraction(25), options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = padded.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.bit_rate = int(bit_rate)
        for frame in padded:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(_convert(picture, "yuv420p")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        decoded = [_convert(picture, "rgb24").to_ndarray() for picture in container.decode(video=0)]
    # An encoder of very low rate may drop pictures, which a player shows as the one before.
    decoded += decoded[-1:] * (count - len(decoded))
    return np.stack(decoded[:count])[:, :height, :width].astype(np.float32)


def _convert(picture: av.VideoFrame, layout: str) -> av.VideoFrame:
    """Converts between full-range RGB and limited-range BT.601."""
    to_yuv = layout != "rgb24"
    return picture.reformat(
        format=layout,
        src_colorspace=Colorspace.ITU601,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG if to_yuv else ColorRange.MPEG,
        dst_color_range=ColorRange.MPEG if to_yuv else ColorRange.JPEG,
    )


def _random_codec(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    codec = _CODECS[rng.choice(len(_CODECS), p=_CODEC_SHARES)]
    enlarged = max(1.0, frames.shape[1] * frames.shape[2] / _BIT_RATE_PIXELS)
    return compress(frames, codec, rng.uniform(*_BIT_RATES) * enlarged)


def _random_resize(
    frames: np.ndarray,
    rng: np.random.Generator,
    *,
    shares: tuple[float, float, float],
    ratios: tuple[float, float],
) -> np.ndarray:
    """Enlarges, shrinks or keeps frames, with a random kernel, to an even size."""
    mode = rng.choice(3, p=shares)
    ratio = (rng.uniform(1, ratios[1]), rng.uniform(ratios[0], 1), 1.0)[mode]
    height, width = (max(2, 2 * round(n * ratio / 2)) for n in frames.shape[1:3])
    return resample(frames, (height, width), METHODS[rng.integers(len(METHODS))])
