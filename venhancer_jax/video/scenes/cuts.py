"""Scene cuts, found while frames stream by."""

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from venhancer_jax.video.scenes.neighbourhood import mark_frames

# Frames that a decision depends on: so many before a frame, and so many from it on.
FRAMES_BEFORE = 4
FRAMES_AFTER = 4
# Ratio of the similarity across a cut to the similarity of neighbouring frames around it.
SIMILARITY = 0.45
# Frames of a flash, at most; the scene after it is the one before it.
_FLASH = 2
# Rows or columns of the pictures that are compared, the fewer of the two; cuts show at any size.
_SIDE = 64
_LONGEST_SIDE = 256
# Side of the blocks of SSIM, and its constants, for 8 bits: the first bears a change of brightness
# in dark scenes, the second noise in flat areas.
_BLOCK = 7, 7
_BRIGHTNESS_NOISE = 25.0
_TEXTURE_NOISE = 5.0
# Weight of blocks that are flat and stay so, such as black bars, and the variance of a block that
# weighs half as much as a full one.
_FLAT_WEIGHT = 0.1
_TEXTURE = 50.0


@dataclass(frozen=True, eq=False)
class _Picture:
    """A small picture of a frame: grey, uint8 `[rows, columns]`; similarity to the one before."""

    grey: np.ndarray
    similarity: float | None


def mark_cuts(
    frames: Iterable[np.ndarray],
    *,
    before: Sequence[np.ndarray] = (),
    similarity: float = SIMILARITY,
) -> Iterator[tuple[np.ndarray, bool]]:
    """Marks the frames with which a new scene begins.

    A scene begins where no frame shortly before resembles one shortly after (SSIM of small pictures
    that are aligned along their optical flow), in comparison with neighbouring frames around. Fast
    motion changes all frames around alike; after a flash the picture is the one before; a fade or
    dissolve changes no frame much. The decision depends on `FRAMES_BEFORE` frames before and
    `FRAMES_AFTER` from the frame itself on, so that it is equal wherever marking starts.

    Args:
      frames: frames `[H, W, 3]` of one size, uint8 or uint16 RGB, one after the other.
      before: frames that precede the first of `frames`, if any; the last `FRAMES_BEFORE` count.
      similarity: ratio of the similarity across a cut to that around it, at most, 0 to 1.

    Returns:
      Iterator of frames, each with whether a new scene begins with it; False for the first frame of
      a clip.
    """
    return mark_frames(
        frames,
        before=before,
        summary=_picture,
        decide=functools.partial(_begins_scene, similarity),
        reach=(FRAMES_BEFORE, FRAMES_AFTER),
    )


def find_cuts(
    frames: Iterable[np.ndarray], *, similarity: float = SIMILARITY
) -> tuple[list[int], int]:
    """Finds the frames at which a new scene begins.

    Args:
      frames: frames `[H, W, 3]`, uint8 or uint16 RGB, one after the other.
      similarity: ratio of the similarity across a cut to that around it, at most, 0 to 1.

    Returns:
      Indices of frames, ascending and without 0, and the number of all frames.
    """
    begins = [cut for _, cut in mark_cuts(frames, similarity=similarity)]
    return [i for i, cut in enumerate(begins) if cut], len(begins)


def _begins_scene(similarity: float, before: list[_Picture], after: list[_Picture]) -> bool:
    """Returns whether the first picture of `after` begins a scene."""
    across = after[0].similarity
    if across is None:
        return False
    # The similarity of the first picture to one that is too far away would depend on the start.
    around = [x.similarity for x in (*before[1:], *after[1:]) if x.similarity is not None]
    most = similarity * float(np.median(around or [1.0]))
    if across > most:
        return False
    pairs = itertools.product(before[: -_FLASH - 2 : -1], after[: _FLASH + 1])
    return all(_similarity(a.grey, b.grey) <= most for a, b in pairs)


def _picture(frame: np.ndarray, before: _Picture | None) -> _Picture:
    grey = _small_grey(frame)
    return _Picture(grey, None if before is None else _similarity(before.grey, grey))


def _small_grey(frame: np.ndarray) -> np.ndarray:
    """Returns a small grey picture of a frame, uint8."""
    scale = _SIDE / min(frame.shape[:2])
    rows, columns = (min(_LONGEST_SIDE, round(side * scale)) for side in frame.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(frame, (columns, rows), interpolation=how)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return np.rint(grey * (255 / np.iinfo(frame.dtype).max)).astype(np.uint8)


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the SSIM of two pictures after the second is aligned to the first.

    Wang et al. 2004, equation 12, with uniform blocks, of which those with texture or change weigh
    more.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow = search.calc(first, second, np.empty(0))
    rows, columns = np.indices(first.shape, np.float32)
    aligned = cv2.remap(
        second,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    x, y = first.astype(np.float32), aligned.astype(np.float32)
    mean_x, mean_y = cv2.blur(x, _BLOCK), cv2.blur(y, _BLOCK)
    variances = cv2.blur(x * x, _BLOCK) + cv2.blur(y * y, _BLOCK) - mean_x**2 - mean_y**2
    covariance = cv2.blur(x * y, _BLOCK) - mean_x * mean_y
    brightness = (2 * mean_x * mean_y + _BRIGHTNESS_NOISE) / (
        mean_x**2 + mean_y**2 + _BRIGHTNESS_NOISE
    )
    texture = (2 * covariance + _TEXTURE_NOISE) / (variances + _TEXTURE_NOISE)
    change = variances + (mean_x - mean_y) ** 2
    weights = _FLAT_WEIGHT + change / (change + _TEXTURE)
    return float((weights * brightness * texture).sum() / weights.sum())
