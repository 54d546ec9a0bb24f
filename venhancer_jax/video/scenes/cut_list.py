"""Where scenes begin: found in the frames, nowhere, or listed in a file."""

import csv
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.video.scenes.cuts import FRAMES_BEFORE, mark_cuts
from venhancer_jax.video.timing import FrameTimes

AUTO, NONE = "auto", "none"
_EXPECTED = (
    "expected a frame number such as 120, or a time such as 5.005 (seconds) or 00:00:05.005;"
    " or a CSV file of PySceneDetect"
)
_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?)")
# Column of PySceneDetect's scene list; the first frame is number 1 there.
_COLUMN = "Start Frame"


@dataclasses.dataclass(frozen=True)
class ListedCut:
    """A line of a list of cuts.

    Attributes:
      line: number of the line, from 1.
      text: text of the line.
      frame: index of the frame at which a scene begins; None where the line has a time.
      seconds: time at which a scene begins; None where the line has a frame.
    """

    line: int
    text: str
    frame: int | None = None
    seconds: Fraction | None = None


@dataclasses.dataclass(frozen=True)
class CutSource:
    """Source of the cuts of a clip.

    Attributes:
      name: `auto`, `none`, or path of a list.
      listed: lines of the list; empty for `auto` and `none`.
    """

    name: str = AUTO
    listed: tuple[ListedCut, ...] = ()

    @property
    def frames_before(self) -> int:
        """Returns the number of frames before the first one that `mark` takes into account."""
        return FRAMES_BEFORE if self.name == AUTO else 0

    def mark(
        self,
        frames: Iterable[np.ndarray],
        times: FrameTimes,
        *,
        first: int = 0,
        before: Sequence[np.ndarray] = (),
    ) -> Iterator[tuple[np.ndarray, bool]]:
        """Marks the frames with which a new scene begins.

        Args:
          frames: frames `[H, W, 3]` of the clip from index `first` on, uint8 or uint16 RGB.
          times: times of all frames of the clip.
          first: index of the first of `frames` in the clip.
          before: frames of the clip right before `first`, at least `frames_before` where there are.

        Returns:
          Iterator of frames, each with whether a new scene begins with it.

        Raises:
          InputError: a listed cut is beyond the clip, or not after the one before it.
        """
        if self.name == AUTO:
            return mark_cuts(frames, before=before)
        cuts = self.frames(times)
        return ((frame, index in cuts) for index, frame in enumerate(frames, first))

    def frames(self, times: FrameTimes) -> frozenset[int]:
        """Returns the listed frames with which a new scene begins, without frame 0.

        Args:
          times: times of all frames of the clip.

        Raises:
          InputError: a listed cut is beyond the clip, or not after the one before it.
        """
        found = [self._frame(cut, times) for cut in self.listed]
        for (cut, frame), (other, later) in itertools.pairwise(
            zip(self.listed, found, strict=True)
        ):
            if later <= frame:
                raise self._wrong(
                    other, f"not after line {cut.line} ({cut.text!r}); sort the list, each cut once"
                )
        return frozenset(found) - {0}

    def _frame(self, cut: ListedCut, times: FrameTimes) -> int:
        if cut.frame is not None:
            if cut.frame >= len(times):
                raise self._wrong(cut, f"beyond the clip, whose frames are 0 to {len(times) - 1}")
            return cut.frame
        assert cut.seconds is not None
        if cut.seconds >= times.duration:
            raise self._wrong(cut, f"beyond the clip, which lasts {float(times.duration):.3f} s")
        # Written times are rounded.
        return times.nearest(cut.seconds)

    def _wrong(self, cut: ListedCut, reason: str) -> InputError:
        return InputError(f"cuts={self.name}, line {cut.line}: {cut.text!r} is {reason}.")


def cut_source(value: str) -> CutSource:
    """Parses where the cuts of a clip come from.

    A list has one cut a line: the index of a frame from 0, or a time in seconds with a point or as
    HH:MM:SS.mmm, ascending; empty lines and those that start with # are skipped. A scene list of
    PySceneDetect (CSV) is recognised by its header.

    Args:
      value: `auto` to find them, `none` for a clip of one scene, or the path of a list.

    Raises:
      InputError: the file cannot be read, or a line is wrong.
    """
    if value in (AUTO, NONE):
        return CutSource(value)
    try:
        lines = Path(value).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cuts={value}: expected auto, none, or a text file of cuts: {error}"
        ) from error
    for number, line in enumerate(lines[:2]):
        if _COLUMN in (header := next(csv.reader([line]), [])):
            return CutSource(value, tuple(_scene_list(value, lines, number, header)))
    return CutSource(value, tuple(_plain_list(value, lines)))


def _plain_list(name: str, lines: Sequence[str]) -> Iterator[ListedCut]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.isascii() and text.isdecimal():
            yield ListedCut(number, text, frame=int(text))
        elif match := _TIME.fullmatch(text):
            hours, minutes, seconds = match.groups(default="0")
            whole = 3600 * int(hours) + 60 * int(minutes)
            yield ListedCut(number, text, seconds=whole + Fraction(seconds))
        else:
            raise InputError(f"cuts={name}, line {number}: {text!r}: {_EXPECTED}.")


def _scene_list(
    name: str, lines: Sequence[str], header_line: int, header: Sequence[str]
) -> Iterator[ListedCut]:
    column = header.index(_COLUMN)
    for number, line in enumerate(lines[header_line + 1 :], header_line + 2):
        row = next(csv.reader([line]), [])
        if not row:
            continue
        text = row[column].strip() if column < len(row) else ""
        if not (text.isascii() and text.isdecimal() and int(text) > 0):
            raise InputError(
                f"cuts={name}, line {number}: {text!r}: expected a number from 1 in the column"
                f" {_COLUMN!r}."
            )
        yield ListedCut(number, text, frame=int(text) - 1)
