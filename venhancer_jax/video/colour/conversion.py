"""The matrices and ranges between a video's YUV samples and full-range RGB."""

from av import VideoFrame
from av.video.reformatter import (
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

from venhancer_jax.video.colour.picture_format import guessed_matrix

# Chroma is interpolated at full precision; the default shortcuts repeat chroma samples, which
# shows as jagged saturated edges once a clip is enlarged.
SCALING = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)

# ITU-T H.273 MatrixCoefficients, as stored in streams.
_TAGGED_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}


def matrix_of(tag: int) -> Colorspace:
    """Returns FFmpeg's YUV matrix of a tag.

    Args:
      tag: matrix, a number of ITU-T H.273; BT.709 stands for those that FFmpeg lacks.
    """
    return _TAGGED_MATRICES.get(tag, Colorspace.ITU709)


def source_matrix(frame: VideoFrame) -> Colorspace:
    """Returns the YUV matrix of a decoded frame.

    Args:
      frame: decoded frame; without a tag that FFmpeg knows the matrix is guessed as players do.
    """
    return _TAGGED_MATRICES.get(frame.colorspace) or matrix_of(guessed_matrix(frame))


def source_range(frame: VideoFrame) -> ColorRange:
    """Returns the range of the samples of a decoded frame.

    Args:
      frame: decoded frame; without a tag RGB is full range and YUV limited.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        return ColorRange.JPEG
    if frame.color_range == ColorRange.JPEG:
        return ColorRange.JPEG
    return ColorRange.MPEG


def is_high_dynamic_range(frame: VideoFrame) -> bool:
    """Returns whether a frame has the PQ or HLG transfer curve, which needs tone mapping.

    Args:
      frame: decoded frame.
    """
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def to_rgb(
    reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int, layout: str
) -> VideoFrame:
    """Converts a decoded frame to full-range RGB and scales it.

    Args:
      reformatter: converter, kept from frame to frame.
      frame: decoded frame.
      width: columns of the result.
      height: rows of the result.
      layout: pixel format of the result, `rgb24` or `rgba`.
    """
    matrix = source_matrix(frame)
    return reformatter.reformat(
        frame,
        width,
        height,
        layout,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=source_range(frame),
        dst_color_range=ColorRange.JPEG,
        interpolation=SCALING,
    )
