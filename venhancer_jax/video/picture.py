"""One decoded frame as an upright RGB picture with square pixels."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from venhancer_jax.video.colour import to_rgb


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How stored rows and columns become upright ones: transpose first, then the mirrors."""

    transpose: bool = False
    flip_columns: bool = False
    flip_rows: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> "Orientation":
        """The orientation asked for by the frame's display matrix; as stored when it has none."""
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
        """The clockwise turn in degrees, 0, 90, 180 or 270 (after a mirror, if there is one)."""
        if self.transpose:
            return 90 if self.flip_columns else 270
        return 180 if self.flip_rows else 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright view of `image` `[H, W, 3]`."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        if self.flip_columns:
            image = image[:, ::-1]
        if self.flip_rows:
            image = image[::-1]
        return image


def square_pixel_width(width: int, pixel_aspect: Fraction) -> int:
    """The width in square pixels of `width` stored columns, each `pixel_aspect` wide for 1 high."""
    return max(1, round(width * pixel_aspect))


class PictureConverter:
    """Turns the decoded frames of one stream into RGB arrays of one size.

    Attributes:
      orientation: how the stream's frames are made upright.
      width: columns of the yielded arrays.
      height: rows of the yielded arrays.
    """

    def __init__(self, first_frame: VideoFrame, pixel_aspect: Fraction) -> None:
        self.orientation = Orientation.of(first_frame)
        self._stored_width = square_pixel_width(first_frame.width, pixel_aspect)
        self._stored_height = first_frame.height
        self._reformatter = VideoReformatter()

    @property
    def width(self) -> int:
        return self._stored_height if self.orientation.transpose else self._stored_width

    @property
    def height(self) -> int:
        return self._stored_width if self.orientation.transpose else self._stored_height

    def convert(self, frame: VideoFrame) -> np.ndarray:
        """The frame as contiguous uint8 RGB `[height, width, 3]`, alpha laid over black."""
        has_alpha = frame.format.has_palette or any(c.is_alpha for c in frame.format.components)
        layout = "rgba" if has_alpha else "rgb24"
        image = to_rgb(
            self._reformatter, frame, self._stored_width, self._stored_height, layout
        ).to_ndarray()
        if has_alpha:
            image = _over_black(image)
        return np.ascontiguousarray(self.orientation.apply(image))


def _over_black(rgba: np.ndarray) -> np.ndarray:
    colour = rgba[..., :3].astype(np.uint16)
    return ((colour * rgba[..., 3:] + 127) // 255).astype(np.uint8)
