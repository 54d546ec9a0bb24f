"""Pictures of more than 8 bits to and from RGB of 16 bits.

FFmpeg's scaler only resamples chroma here, which it does to the nearest code: its colour conversion
takes 65,280 for white in RGB of 16 bits, and its 4:4:4 is dithered.
"""

import cv2
import numpy as np
from av import VideoFormat, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from venhancer_jax.video.colour.chroma_location import with_chroma_location
from venhancer_jax.video.colour.conversion import SCALING, source_matrix, source_range
from venhancer_jax.video.colour.picture_format import PictureFormat, format_chroma

WHITE = 65535
# Weights of red and blue in luma, by the matrix.
_LUMA = {
    Colorspace.ITU709: (0.2126, 0.0722),
    Colorspace.FCC: (0.30, 0.11),
    Colorspace.ITU601: (0.299, 0.114),
    Colorspace.SMPTE240M: (0.212, 0.087),
    Colorspace.BT2020: (0.2627, 0.0593),
}
_CENTRE = 32768
_PLANAR_444 = ("yuv444p", "yuva444p")


def to_rgb16(
    reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int, *, alpha: bool
) -> np.ndarray:
    """Converts a decoded frame to full-range RGB of 16 bits and scales it.

    Args:
      reformatter: converter, kept from frame to frame.
      frame: decoded frame of integers of 9 to 16 bits.
      width: columns of the result.
      height: rows of the result.
      alpha: whether the frame is transparent in places.

    Returns:
      uint16 `[height, width, 3]`, or `[height, width, 4]` with alpha.
    """
    chroma, full = format_chroma(frame.format.name), source_range(frame) == ColorRange.JPEG
    if chroma in ("rgb", "grey"):
        grey = chroma == "grey"
        image = _grey_samples(frame, full) if grey else _rgb_samples(reformatter, frame, alpha)
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return image
    bits = max(part.bits for part in frame.format.components)
    samples = _yuv_samples(reformatter, frame, width, height, alpha)
    image = _transform(samples[..., :3], _from_yuv(source_matrix(frame), full, bits))
    if not alpha:
        return image
    opaque = np.float32(WHITE / _top(bits))
    return np.dstack([image, _rounded(samples[..., 3].astype(np.float32) * opaque, WHITE)])


def from_rgb16(
    reformatter: VideoReformatter, image: np.ndarray, target: PictureFormat, matrix: Colorspace
) -> VideoFrame:
    """Converts full-range RGB of 16 bits to a frame to encode.

    Args:
      reformatter: converter, kept from frame to frame.
      image: uint16 `[H, W, 3]`, or `[H, W, 4]` for a format with alpha.
      target: format of 9 to 16 bits.
      matrix: YUV matrix.
    """
    bits, name = target.bits, target.pixel_format
    if target.chroma == "rgb":
        codes = _rounded(image.astype(np.float32) * np.float32((2**bits - 1) / WHITE), 2**bits - 1)
        return VideoFrame.from_ndarray(codes, format=name)
    samples = _transform(image[..., :3], _to_yuv(matrix, target.full_range, bits))
    if target.has_alpha:
        codes = image[..., 3].astype(np.float32) * np.float32((2**bits - 1) / WHITE)
        shifted = _rounded(codes, 2**bits - 1) << np.uint16(16 - bits)
        samples = np.dstack([samples, shifted]).astype(np.uint16)
    if name.startswith(_PLANAR_444):
        return _planar(samples, name, bits)
    deep = "yuva444p16le" if target.has_alpha else "yuv444p16le"
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(samples), format=deep)
    return _resampled(
        reformatter,
        with_chroma_location(frame, target.chroma_location),
        image.shape[1],
        image.shape[0],
        name,
        ColorRange.JPEG if target.full_range else ColorRange.MPEG,
    )


def _rgb_samples(reformatter: VideoReformatter, frame: VideoFrame, alpha: bool) -> np.ndarray:
    """Returns uint16 `[H, W, 3 or 4]`, full range."""
    try:
        image = frame.to_ndarray()
    except ValueError:
        frame = reformatter.reformat(frame, format="rgba64le" if alpha else "rgb48le")
        image = frame.to_ndarray()
    bits = max(part.bits for part in frame.format.components)
    if bits == 16:
        return image.astype(np.uint16)
    return _rounded(image.astype(np.float32) * np.float32(WHITE / (2**bits - 1)), WHITE)


def _grey_samples(frame: VideoFrame, full: bool) -> np.ndarray:
    """Returns uint16 `[H, W, 3]`, or `[H, W, 4]` with alpha, full range."""
    parts, plane = len(frame.format.components), frame.planes[0]
    dtype = np.dtype(">u2" if frame.format.name.endswith("be") else "<u2")
    rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // 2)
    stored = rows[: frame.height, : parts * frame.width].reshape(frame.height, -1, parts)
    bits = frame.format.components[0].bits
    black, span = (0, 2**bits - 1) if full else (16 << (bits - 8), 219 << (bits - 8))
    levels = (stored[..., :1].astype(np.float32) - black) * np.float32(WHITE / span)
    return np.concatenate([_rounded(levels, WHITE).repeat(3, -1), stored[..., 1:]], axis=-1)


def _yuv_samples(
    reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int, alpha: bool
) -> np.ndarray:
    """Returns uint16 `[height, width, 3 or 4]`, shifted so that their first bit is the sample's."""
    name, bits = frame.format.name, max(part.bits for part in frame.format.components)
    unscaled = (frame.width, frame.height) == (width, height)
    if unscaled and name.startswith(_PLANAR_444) and not name.endswith("be"):
        planes = [_plane(frame, index) for index in range(len(frame.planes))]
        return np.dstack(planes) << (16 - bits)
    deep = "yuva444p16le" if alpha else "yuv444p16le"
    resampled = _resampled(reformatter, frame, width, height, deep, source_range(frame))
    return resampled.to_ndarray()


def _resampled(
    reformatter: VideoReformatter,
    frame: VideoFrame,
    width: int,
    height: int,
    layout: str,
    levels: ColorRange,
) -> VideoFrame:
    """Changes the size and the subsampling of chroma, and no colour."""
    return reformatter.reformat(
        frame,
        width,
        height,
        layout,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=levels,
        dst_color_range=levels,
        interpolation=SCALING,
    )


def _plane(frame: VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint16).reshape(-1, plane.line_size // 2)
    return rows[: plane.height, : plane.width]


def _planar(samples: np.ndarray, name: str, bits: int) -> VideoFrame:
    """Stores samples `[H, W, C]` of 16 bits at the nearest codes of fewer bits."""
    height, width, channels = samples.shape
    frame = VideoFrame(width, height, name)
    half = (1 << (16 - bits)) // 2
    codes = np.minimum((samples.astype(np.uint32) + half) >> (16 - bits), 2**bits - 1)
    for index in range(channels):
        plane = frame.planes[index]
        rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // 2), np.uint16)
        rows[:height, :width] = codes[..., index]
        plane.update(rows.tobytes())
    return frame


def _from_yuv(matrix: Colorspace, full: bool, bits: int) -> np.ndarray:
    """Returns the matrix `[3, 4]` from YUV samples of 16 bits to RGB."""
    forward = _to_yuv(matrix, full, bits)
    inverse = np.linalg.inv(forward[:, :3])
    return np.concatenate([inverse, -inverse @ forward[:, 3:]], axis=1)


def _to_yuv(matrix: Colorspace, full: bool, bits: int) -> np.ndarray:
    """Returns the matrix `[3, 4]` from RGB to YUV samples of 16 bits."""
    red, blue = _LUMA[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    differences = np.array(
        [([0, 0, 1] - luma) / (2 - 2 * blue), ([1, 0, 0] - luma) / (2 - 2 * red)]
    )
    black = 0 if full else 16 << 8
    span, chroma_span = (_top(bits), _top(bits)) if full else (219 << 8, 224 << 8)
    scaled = np.stack([luma * span, *(differences * chroma_span)]) / WHITE
    return np.concatenate([scaled, [[black], [_CENTRE], [_CENTRE]]], axis=1)


def _top(bits: int) -> int:
    """Returns the last code of `bits` bits, shifted to 16 bits."""
    return (2**bits - 1) << (16 - bits)


def _transform(samples: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.transform(np.ascontiguousarray(samples), matrix)


def _rounded(values: np.ndarray, most: int) -> np.ndarray:
    return np.rint(values).clip(0, most).astype(np.uint16)


def is_deep(layout: VideoFormat) -> bool:
    """Returns whether a layout has integers of more than 8 bits.

    Args:
      layout: layout of a decoded frame.
    """
    return max([8, *(part.bits for part in layout.components)]) in range(9, 17)
