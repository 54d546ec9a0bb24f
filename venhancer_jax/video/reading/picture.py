"""Conversion of decoded frames to upright RGB pictures with square pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from venhancer_jax.video.colour.chroma_location import (
    find_chroma_location,
    is_subsampled,
    with_chroma_location,
)
from venhancer_jax.video.colour.conversion import source_range, to_rgb
from venhancer_jax.video.colour.deep_colour import WHITE, is_deep, to_rgb16
from venhancer_jax.video.colour.hdr import linear_to_srgb
from venhancer_jax.video.colour.picture_format import is_float


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """Steps from stored to upright rows and columns: transpose first, then mirror."""

    transpose: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """Returns the orientation of a frame.

        Args:
          frame: decoded frame; without a display matrix it is shown as stored.
        """
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        a, b, _, c, d = (int(entry) for entry in np.frombuffer(bytes(data), np.int32)[:5])
        # The matrix maps a stored (x, y) to a shown (a x + c y, b x + d y), y pointing down.
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transpose=True, flip_columns=c < 0, flip_rows=b < 0)
        return cls(flip_columns=a < 0, flip_rows=d < 0)

    @property
    def rotation(self) -> int:
        """Returns the clockwise rotation in degrees: 0, 90, 180 or 270, after a mirror if any."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Returns an upright view.

        Args:
          image: stored picture `[H, W, 3]`.
        """
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_columns:
            image = image[:, ::-1]
        if self.flip_rows:
            image = image[::-1]
        return image


def square_pixel_width(width: int, pixel_aspect: Fraction) -> int:
    """Returns the number of square pixels across a picture.

    Args:
      width: stored columns.
      pixel_aspect: width over height of a stored pixel.
    """
    return max(1, round(width * pixel_aspect))


class PictureConverter:
    """Converter of the decoded frames of one stream to RGB arrays of one size.

    Attributes:
      orientation: steps from stored to upright frames.
    """

    def __init__(
        self,
        first_frame: VideoFrame,
        pixel_aspect: Fraction,
        *,
        deep: bool = False,
        layers: bool = False,
        layer_names: Sequence[str] = (),
        chroma_location: str = "",
    ) -> None:
        """Derives size and orientation.

        Args:
          first_frame: decoded frame of the stream.
          pixel_aspect: width over height of a stored pixel.
          deep: whether pictures of more than 8 bits become uint16 arrays, not uint8.
          layers: whether alpha is a fourth channel, in place of a black background, floats stay
            as they are.
          layer_names: channels of EXR pictures that follow those of the picture.
          chroma_location: position of the samples of subsampled chroma; by default that of the
            first frame.
        """
        self._deep, self._layers = deep or layers, layers
        self.orientation = Orientation.of(first_frame)
        self._stored_width = square_pixel_width(first_frame.width, pixel_aspect)
        self._stored_height = first_frame.height
        self._reformatter = VideoReformatter()
        self._layer_names = tuple(layer_names)
        self._chroma_location = chroma_location or find_chroma_location(
            first_frame, full_range=source_range(first_frame) == ColorRange.JPEG
        )

    @property
    def width(self) -> int:
        """Returns the columns of converted frames."""
        return self._stored_height if self.orientation.transpose else self._stored_width

    @property
    def height(self) -> int:
        """Returns the rows of converted frames."""
        return self._stored_width if self.orientation.transpose else self._stored_height

    def convert(self, frame: VideoFrame) -> np.ndarray:
        """Converts a frame.

        Args:
          frame: decoded frame of the stream.

        Returns:
          RGB `[height, width, 3]`, contiguous: uint8, or uint16 of a deep picture. With layers, a
          picture with alpha is RGBA, and one of floats is float32 linear light, followed by
          its named layers.
        """
        has_alpha = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
        size = self._stored_width, self._stored_height
        if is_subsampled(frame.format):
            frame = with_chroma_location(frame, self._chroma_location)
        if is_float(frame.format.name):
            image = _floats(frame, has_alpha)
            if (image.shape[1], image.shape[0]) != size:
                image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
            if not self._layers:
                # Colours of EXR files are stored as if laid over black.
                signal = linear_to_srgb(np.nan_to_num(image[..., :3]).clip(0, 1))
                dtype = np.uint16 if self._deep else np.uint8
                image = np.rint(signal * np.iinfo(dtype).max).astype(dtype)
            elif self._layer_names:
                image = np.dstack([image, *self._layers_of(frame, size)])
        elif self._deep and is_deep(frame.format):
            image = to_rgb16(self._reformatter, frame, *size, alpha=has_alpha)
        else:
            layout = "rgba" if has_alpha else "rgb24"
            image = to_rgb(self._reformatter, frame, *size, layout).to_ndarray()
        if has_alpha and not self._layers and image.shape[-1] == 4:
            image = _over_black(image)
        return np.ascontiguousarray(self.orientation.apply(image))

    def _layers_of(self, frame: VideoFrame, size: tuple[int, int]) -> list[np.ndarray]:
        """Returns the layers `[height, width]` of a frame; zeros for those that it lacks."""
        (width, height), layers = size, frame.opaque
        found = []
        for name in self._layer_names:
            layer = np.zeros((height, width), np.float32)
            if isinstance(layers, dict):
                layer = layers.get(name, layer)
            if layer.shape != (height, width):
                # A blend of two depths is the depth of nothing.
                layer = cv2.resize(layer, size, interpolation=cv2.INTER_NEAREST_EXACT)
            found.append(layer)
        return found


def _over_black(rgba: np.ndarray) -> np.ndarray:
    if rgba.dtype == np.uint16:
        alpha = rgba[..., 3:].astype(np.float32) / np.float32(WHITE)
        return np.rint(rgba[..., :3] * alpha).astype(np.uint16)
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * rgba[..., 3:] + 127) // 255).astype(np.uint8)


def _floats(frame: VideoFrame, alpha: bool) -> np.ndarray:
    """Returns samples as they are stored, float32 `[H, W, 3 or 4]`."""
    name = frame.format.name
    dtype = np.dtype(np.float32 if "f32" in name else np.float16)
    dtype = dtype.newbyteorder(">" if name.endswith("be") else "<")
    if len(frame.planes) == 1 and frame.format.is_rgb:
        raise ValueError(f"pictures of {name} cannot be read")
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), dtype).reshape(
            -1, plane.line_size // dtype.itemsize
        )
        planes.append(rows[: plane.height, : plane.width].astype(np.float32))
    if len(planes) < 3:
        planes = [planes[0]] * 3 + planes[1:]
    else:
        green, blue, red, *rest = planes
        planes = [red, green, blue, *rest]
    return np.dstack(planes[: 4 if alpha else 3])
