"""Writing of videos that are complete at their final name or absent."""

import math
import numbers
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
from etils import epath
from filelock import Timeout

from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file, atomic_folder, hidden_file, lock_for, remove_stale
from venhancer_jax.video.colour.picture_format import PictureFormat
from venhancer_jax.video.timing import MAX_FPS
from venhancer_jax.video.tracks.copier import Tracks, check_source
from venhancer_jax.video.writing.encoders import ENCODERS
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.image_folder import IMAGES, check_replaceable
from venhancer_jax.video.writing.join import FORMATS, join_segments
from venhancer_jax.video.writing.segment_file import SegmentFile
from venhancer_jax.video.writing.write_errors import explain_write_error

_CODECS = (*ENCODERS, *IMAGES)


class VideoWriter:
    """Writes RGB frames as a video file, or with codec `png` or `exr` as a folder of images.

    with VideoWriter("out.mp4", width=1280, height=720, rate=Fraction(24)) as writer:
        writer.write(frame)

    Frames go to a hidden partial file, with a name of its own, beside the final one, whose name it
    takes when the block ends without an exception. After an exception the partial file is removed
    and an older file of the final name is unchanged; after a kill at any moment either the older
    or the new video is complete. One process at a time writes a video; a second one is refused.
    Equal frames give equal bytes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        rate: Fraction,
        codec: str = "h264",
        quality: float = 0.75,
        picture: PictureFormat | None = None,
        options: Mapping[str, str] = MappingProxyType({}),
        audio_from: str | Path | None = None,
        audio_start: float = 0.0,
        audio_duration: float | None = None,
        overwrite: bool = True,
    ) -> None:
        """Checks the settings; entering the block opens the file.

        Args:
          path: file to write, ending in .mp4, .mkv, .mov or (AV1 only) .webm; for images a folder.
          width: columns of the frames.
          height: rows of the frames.
          rate: frames per second, exact.
          codec: `h264`, `h265`, `av1` (not in .mov), `prores` (.mov), `ffv1` (.mkv), `png` or
            `exr`.
          quality: quality from 0 (small) to 1 (visually lossless); without effect on lossless ones.
          picture: layout, depth, range and colour tags of the stored samples; None for BT.709 as
            every player shows it.
          options: encoder options by name, which replace those of the codec.
          audio_from: video whose sound streams are copied; images have no sound.
          audio_start: seconds after the first picture of `audio_from` at which the sound begins.
          audio_duration: seconds of sound; None for as long as the pictures last.
          overwrite: whether an older file of that name is replaced.

        Raises:
          InputError: a setting is wrong, or the final name is taken.
        """
        self._path = Path(path)
        self._overwrite = overwrite
        self._stack = ExitStack()
        self._segment: SegmentFile | None = None
        self._pictures = epath.Path()
        self._written = 0

        if codec not in _CODECS:
            raise InputError(f"codec={codec!r}: expected one of {', '.join(_CODECS)}.")
        if not 0 <= quality <= 1:
            raise InputError(f"quality={quality}: expected a number from 0 to 1.")
        if width < 1 or height < 1:
            raise InputError(f"size {width}x{height}: width and height must be at least 1.")
        if not (math.isfinite(audio_start) and audio_start >= 0):
            raise InputError(f"audio_start={audio_start}: expected 0 or more seconds.")
        if audio_duration is not None and not audio_duration > 0:
            raise InputError(f"audio_duration={audio_duration}: expected more than 0 seconds.")
        rate = _checked_rate(rate)
        self._encoding = Encoding(
            codec=codec,
            quality=quality,
            width=width,
            height=height,
            time_base=1 / rate,
            rate=rate,
            options=tuple(options.items()),
            picture=picture,
        )
        self._tracks: Tracks | None = None
        if audio_from is not None and codec in ENCODERS:
            start = Fraction(audio_start).limit_denominator(1_000_000)
            self._tracks = Tracks(Path(audio_from), start, audio_duration)
        self._check_path()

    def _check_path(self) -> None:
        check_target(self._path, self._encoding.codec)
        if not self._overwrite and self._path.exists():
            raise InputError(
                f"{self._path}: exists already. Choose another name, or allow overwriting."
            )

    def __enter__(self) -> Self:
        """Creates the folder if need be, locks the final name, and opens the partial file.

        Raises:
          InputError: another process writes this video, the folder cannot be written, or the
            encoder cannot do the size.
        """
        with self._abort_on_error():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._stack.enter_context(lock_for(self._path).acquire(blocking=False))
            except Timeout:
                raise InputError(
                    f"{self._path}: another run is writing this output. Wait for it to end, or "
                    "choose another output."
                ) from None
            # Checked again: the path may have been taken since.
            self._check_path()
            if self._tracks is not None:
                check_source(self._tracks)
            if self._encoding.codec in ENCODERS:
                remove_stale(self._path)
                self._pictures = self._stack.enter_context(hidden_file(self._path))
            else:
                self._pictures = self._stack.enter_context(atomic_folder(self._path))
            self._segment = SegmentFile(Path(self._pictures), self._encoding)
            self._segment.__enter__()
        return self

    def write(self, frame: np.ndarray) -> None:
        """Writes the next frame.

        Args:
          frame: RGB picture `[height, width, 3]`, uint8 or uint16, or one with alpha
            `[height, width, 4]`; float32 for EXR.

        Raises:
          ValueError: the array has another shape or type.
          InputError: the frame cannot be stored, such as on a full disk; the partial is removed.
        """
        if self._segment is None:
            raise ValueError("the writer is not open; use it in a with block")
        with self._abort_on_error():
            self._segment.write(frame, self._written)
        self._written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abort(error)
        if self._segment is None:
            return
        with self._abort_on_error():
            if self._written == 0:
                raise InputError(f"{self._path}: no frame was written, so there is no video.")
            segment, self._segment = self._segment, None
            segment.__exit__(None, None, None)
            if self._encoding.codec in ENCODERS:
                self._join()
            else:
                check_replaceable(self._path)
            self._stack.close()

    def _join(self) -> None:
        with atomic_file(self._path) as target:
            join_segments(
                Path(target),
                [(Path(self._pictures), 0)],
                self._encoding,
                suffix=self._path.suffix,
                tracks=self._tracks,
            )

    @contextmanager
    def _abort_on_error(self) -> Iterator[None]:
        """Removes the partial file after an error; a system's error becomes an InputError."""
        try:
            yield
        except BaseException as error:
            reason = explain_write_error(
                error, self._path, self._encoding, left="The partial file was removed"
            )
            self._abort(error)
            if reason is not None:
                raise reason from error
            raise

    def _abort(self, error: BaseException) -> None:
        if self._segment is not None:
            self._segment.__exit__(type(error), error, error.__traceback__)
            self._segment = None
        with suppress(OSError):
            self._stack.__exit__(type(error), error, error.__traceback__)


def check_target(path: Path, codec: str) -> None:
    """Checks that a video can be written to a path.

    Args:
      path: file to write; for images a folder.
      codec: picture codec, one of `encoders.ENCODERS` or of `image_folder.IMAGES`.

    Raises:
      InputError: a suffix that does not fit the codec, or something else is in the way.
    """
    suffix = path.suffix.lower()
    if codec in IMAGES:
        if suffix in FORMATS:
            raise InputError(
                f"{path}: {codec} writes a folder of images; name it without {suffix}."
            )
        check_replaceable(path)
        return
    accepted = ENCODERS[codec].suffixes
    if suffix not in accepted:
        raise InputError(
            f"{path}: {codec} cannot be written to {suffix or 'no suffix'!r}; end the name in one"
            f" of {' '.join(sorted(accepted))}."
        )
    if path.is_dir():
        raise InputError(f"{path}: a folder of this name is in the way.")


def _checked_rate(rate: Fraction) -> Fraction:
    if not isinstance(rate, numbers.Rational) or not 0 < rate <= MAX_FPS:
        raise InputError(
            f"rate={rate}: expected an exact fraction above 0 and up to {MAX_FPS} frames per "
            "second, such as 24 or 30000/1001."
        )
    return Fraction(rate)
