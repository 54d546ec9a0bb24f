"""How the pictures of one output are encoded: what a segment and the joined file have in common."""

from dataclasses import dataclass
from fractions import Fraction

from venhancer_jax.video.colour.picture_format import PictureFormat

# Frame length assumed where frames are unevenly spaced and a nominal one is needed.
NOMINAL_RATE = Fraction(24)


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Codec, size and clock of encoded pictures.

    Attributes:
      codec: picture codec, one of `encoders.ENCODERS`, or of `image_folder.IMAGES` for a folder of
        images.
      quality: quality of the pictures, from 0 (small) to 1 (visually lossless).
      width: columns of the frames.
      height: rows of the frames.
      time_base: seconds per tick.
      rate: frames per second of evenly spaced frames, None for others.
      options: names and values of encoder options that replace those of the codec.
      picture: layout, depth, range and colour tags of the stored samples; None for BT.709 as every
        player shows it.
    """

    codec: str
    quality: float
    width: int
    height: int
    time_base: Fraction
    rate: Fraction | None
    options: tuple[tuple[str, str], ...] = ()
    picture: PictureFormat | None = None

    @property
    def frame_ticks(self) -> int:
        """Returns the ticks, at least 1, of a frame at the rate, or at 24 frames per second."""
        return max(1, round(1 / ((self.rate or NOMINAL_RATE) * self.time_base)))
