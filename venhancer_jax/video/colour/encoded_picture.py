"""Conversion of RGB arrays to frames to encode."""

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc, VideoReformatter

from venhancer_jax.video.colour.chroma_location import with_chroma_location
from venhancer_jax.video.colour.conversion import SCALING, matrix_of
from venhancer_jax.video.colour.deep_colour import from_rgb16
from venhancer_jax.video.colour.picture_format import PictureFormat


def to_picture(
    reformatter: VideoReformatter, image: np.ndarray, target: PictureFormat
) -> VideoFrame:
    """Converts a full-range RGB array to a frame to encode, tagged with its colours.

    Args:
      reformatter: converter, kept from frame to frame.
      image: `[H, W, 3]`, or `[H, W, 4]` with alpha, which is dropped where `target` has none;
        uint8 or uint16, or float32 for a format of floats.
      target: format of the frame.
    """
    channels = 4 if target.has_alpha else 3
    if image.shape[-1] == 3 and channels == 4:
        opaque = 1 if target.is_float else np.iinfo(image.dtype).max
        image = np.dstack([image, np.full(image.shape[:2], opaque, image.dtype)])
    image = np.ascontiguousarray(image[..., :channels])
    matrix = matrix_of(target.matrix)
    if target.is_float:
        frame = VideoFrame.from_ndarray(image.astype(np.float32), format=target.pixel_format)
    elif target.bits > 8:
        if image.dtype == np.uint8:
            image = image.astype(np.uint16) * np.uint16(257)
        frame = from_rgb16(reformatter, image, target, matrix)
    else:
        if image.dtype == np.uint16:
            image = np.rint(image / np.float32(257)).astype(np.uint8)
        full = target.full_range or target.chroma == "rgb"
        plain = VideoFrame.from_ndarray(image, format="rgba" if channels == 4 else "rgb24")
        frame = reformatter.reformat(
            with_chroma_location(plain, target.chroma_location),
            format=target.pixel_format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            interpolation=SCALING,
        )
    frame.colorspace = target.matrix
    frame.color_range = ColorRange.JPEG if target.full_range else ColorRange.MPEG
    frame.color_primaries = ColorPrimaries(target.primaries)
    frame.color_trc = ColorTrc(target.transfer)
    return frame
