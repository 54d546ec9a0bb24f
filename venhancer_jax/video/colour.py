"""The matrices and ranges between a video's YUV samples and full-range RGB."""

from av import VideoFrame
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)

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
_HIGH_DEFINITION_ROWS = 720


def source_matrix(frame: VideoFrame) -> Colorspace:
    """Returns the YUV matrix of a decoded frame.

    Args:
      frame: decoded frame; without a tag BT.709 is assumed from 720 rows up, BT.601 below.
    """
    untagged = Colorspace.ITU709 if frame.height >= _HIGH_DEFINITION_ROWS else Colorspace.ITU601
    return _TAGGED_MATRICES.get(frame.colorspace, untagged)


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


def to_bt709(reformatter: VideoReformatter, frame: VideoFrame, layout: str) -> VideoFrame:
    """Converts a full-range RGB frame to limited-range BT.709 YUV, tagged as such.

    Args:
      reformatter: converter, kept from frame to frame.
      frame: RGB frame.
      layout: pixel format of the result, such as `yuv420p`.
    """
    converted = reformatter.reformat(
        frame,
        format=layout,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=SCALING,
    )
    converted.color_primaries = ColorPrimaries.BT709
    converted.color_trc = ColorTrc.BT709
    return converted
