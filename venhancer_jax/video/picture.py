"""Conversion of decoded frames to upright RGB pictures with square pixels."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter

from venhancer_jax.video.colour import to_rgb


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

    def __init__(self, first_frame: VideoFrame, pixel_aspect: Fraction) -> None:
        """Derives size and orientation.

        Args:
          first_frame: decoded frame of the stream.
          pixel_aspect: width over height of a stored pixel.
        """
        self.orientation = Orientation.of(first_frame)
        self._stored_width = square_pixel_width(first_frame.width, pixel_aspect)
        self._stored_height = first_frame.height
        self._reformatter = VideoReformatter()

    @property
    def width(self) -> int:
        """Returns the columns of converted frames."""
        return self._stored_height if self.orientation.transpose else self._stored_width

    @property
    def height(self) -> int:
        """Returns the rows of converted frames."""
        return self._stored_width if self.orientation.transpose else self._stored_height

    def convert(self, frame: VideoFrame) -> np.ndarray:
        """Converts a frame; transparent pixels are laid over black.

        Args:
          frame: decoded frame of the stream.

        Returns:
          uint8 RGB `[height, width, 3]`, contiguous.
        """
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
