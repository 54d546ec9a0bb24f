"""Frames that repeat the one before, as in telecined and screen-captured clips."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from venhancer_jax.video.scenes.neighbourhood import mark_frames

# Side of the blocks whose means are compared: noise of the codec averages out, motion does not.
_BLOCK = 8
# Largest changes of a repeated frame, in levels of 255: mean of all blocks, 99th percentile, the
# block that changes most.
_LARGEST = np.array([0.6, 4.0, 15.0])
# Largest changes of a repeated frame in relation to those of the frames around, so many on either
# side, of which the second largest counts: the largest may be a cut.
_RATIO = np.array([0.3, 0.4, 1.0])
_AROUND = 5
# Repeats in a row; more are a still, whose frames stay: frames between its ends would morph.
_LONGEST_RUN = 4

# Frames that a decision depends on: so many before a frame, and so many from it on.
FRAMES_BEFORE = FRAMES_AFTER = _AROUND + _LONGEST_RUN + 1


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Means of blocks `[rows, columns]`; changes from the frame before, None without one."""

    means: np.ndarray
    changes: np.ndarray | None


@dataclass(frozen=True, eq=False)
class KeptFrame:
    """A frame that repeats none.

    Attributes:
      pixels: RGB frame `[H, W, 3]`.
      starts_scene: whether a new scene begins with it.
      index: index in the clip.
      stop: index of the next kept frame, or of the end: the frame is shown until then.
    """

    pixels: np.ndarray
    starts_scene: bool
    index: int
    stop: int


def mark_duplicates(
    frames: Iterable[np.ndarray], *, before: Sequence[np.ndarray] = ()
) -> Iterator[tuple[np.ndarray, bool]]:
    """Marks the frames that repeat the one before.

    A repeated frame changes little, and far less than frames around: slow motion changes all
    frames alike. What noise of the codec does to a repeated frame is less than both. The decision
    depends on `FRAMES_BEFORE` frames before and `FRAMES_AFTER` from the frame itself on, so that
    it is equal wherever marking starts.

    Args:
      frames: frames `[H, W, 3]` of one size, uint8 or uint16 RGB, one after the other.
      before: frames that precede the first of `frames`, if any; the last `FRAMES_BEFORE` count.

    Returns:
      Iterator of frames, each with whether it repeats the one before; False in stills, which have
      more than four repeats in a row.
    """
    reach = (FRAMES_BEFORE, FRAMES_AFTER)
    return mark_frames(frames, before=before, summary=_blocks, decide=_is_dropped, reach=reach)


def drop_duplicates(
    frames: Iterable[tuple[np.ndarray, bool]],
    *,
    first: int = 0,
    before: Sequence[np.ndarray] = (),
) -> Iterator[KeptFrame]:
    """Yields the frames that do not repeat the one before.

    The first of `frames` and frames that begin a scene are kept in any case.

    Args:
      frames: frames `[H, W, 3]`, each with whether a new scene begins with it.
      first: index of the first of `frames` in the clip.
      before: frames that precede the first of `frames`, if any; the last `FRAMES_BEFORE` count.

    Yields:
      Frames with their indices in the clip, ascending.
    """
    starts: deque[bool] = deque()

    def pictures() -> Iterator[np.ndarray]:
        for pixels, starts_scene in frames:
            starts.append(starts_scene)
            yield pixels

    kept: tuple[np.ndarray, bool, int] | None = None
    index = first
    for index, (pixels, repeats) in enumerate(mark_duplicates(pictures(), before=before), first):
        starts_scene = starts.popleft()
        if repeats and not starts_scene and kept is not None:
            continue
        if kept is not None:
            yield KeptFrame(*kept, stop=index)
        kept = pixels, starts_scene, index
    if kept is not None:
        yield KeptFrame(*kept, stop=index + 1)


def _is_dropped(before: list[_Blocks], after: list[_Blocks]) -> bool:
    # What the first summary says about its change depends on where marking starts.
    changes = [blocks.changes for blocks in (*before[1:], *after)]
    place = len(before[1:])

    def run(step: int) -> int:
        """Returns the number of repeats in a row on one side."""
        at = place + step
        while 0 <= at < len(changes) and abs(at - place) <= _LONGEST_RUN and _repeats(changes, at):
            at += step
        return abs(at - place) - 1

    return _repeats(changes, place) and run(-1) + 1 + run(1) <= _LONGEST_RUN


def _repeats(changes: Sequence[np.ndarray | None], place: int) -> bool:
    """Returns whether the frame at an index repeats the one before, from the changes of all."""
    change = changes[place]
    around = *changes[max(0, place - _AROUND) : place], *changes[place + 1 : place + 1 + _AROUND]
    known = np.array([x for x in around if x is not None])
    if change is None or len(known) < 2:
        return False
    most = np.minimum(_LARGEST, _RATIO * np.sort(known, axis=0)[-2])
    return bool(np.all(change <= most) and most.min() > 0)


def _blocks(frame: np.ndarray, before: _Blocks | None) -> _Blocks:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = (max(1, side // _BLOCK) for side in grey.shape)
    means = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    means *= 255 / np.iinfo(frame.dtype).max
    if before is None:
        return _Blocks(means, None)
    change = np.abs(means - before.means)
    return _Blocks(means, np.array([change.mean(), np.percentile(change, 99), change.max()]))
