"""What results take of the look of their input once they are decoded: its colours, its grain."""

import dataclasses
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.video import resize
from venhancer_jax.video.colour.colour_fix import correct_colours
from venhancer_jax.video.grain import add_grain, measure_grain

# Most rows and columns of the frames that colours are compared with.
_HELD_SIDE = 256


@dataclasses.dataclass(frozen=True)
class _HeldLook:
    """What is held of a frame of the input.

    Attributes:
      size: height and width of the frame.
      colours: float32 `[1, h, w, 3]` in [-1, 1], shrunk; None without colour correction.
      grain: strength of the grain `[8]`; None without grain.
    """

    size: tuple[int, int]
    colours: np.ndarray | None
    grain: np.ndarray | None


class InputLook:
    """Look of the frames of a segment, held small, and given to its results.

    A result takes the look of the input frame at its time; one between two input frames takes both,
    by their nearness.
    """

    def __init__(
        self, options: EnhanceOptions, *, colour: str = "none", start: int = 0, stride: int = 1
    ) -> None:
        """Stores what is requested.

        Args:
          options: options of the enhancement.
          colour: colour correction of the results; "none" where a system has corrected them.
          start: index of the segment's first input frame in the clip.
          stride: results from one input frame to the next.
        """
        self._colour, self._grain, self._seed = colour, options.grain, options.seed
        self._start, self._stride = start * stride, stride
        self._held: list[_HeldLook] = []

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields frames of the input, uint8 or uint16 `[H, W, 3]`, and holds their look."""
        for frame in frames:
            if self._colour != "none" or self._grain:
                self._held.append(
                    _HeldLook(
                        frame.shape[:2],
                        _shrink(frame)[None] if self._colour != "none" else None,
                        self._grain * measure_grain(frame) if self._grain else None,
                    )
                )
            yield frame

    def finish(
        self, decoded: Iterable[jax.Array | np.ndarray], first: int = 0
    ) -> Iterator[jax.Array | np.ndarray]:
        """Gives results the look of the input.

        Args:
          decoded: results `[n, H, W, 3]` in about [-1, 1], whole on every device.
          first: index of the first result, counted from the segment's first input frame; those
            before 0 stay as they are.

        Yields:
          The same numbers of results, not clipped to any range.
        """
        for results in decoded:
            if self._held:
                pictures = enumerate(np.asarray(results), first)
                yield np.stack([self._finish_frame(frame, index) for index, frame in pictures])
            else:
                yield results
            first += len(results)

    def _finish_frame(self, frame: np.ndarray, index: int) -> np.ndarray:
        if index < 0:
            return frame
        key, between = divmod(index, self._stride)
        before, after = (self._held[min(i, len(self._held) - 1)] for i in (key, key + 1))
        share = np.float32(between / self._stride)
        if before.colours is not None and after.colours is not None:
            corrected = correct_colours(frame[None], before.colours, self._colour)[0]
            if share:
                later = correct_colours(frame[None], after.colours, self._colour)[0]
                corrected = (1 - share) * corrected + share * later
            frame = corrected
        if before.grain is not None and after.grain is not None:
            frame = add_grain(
                frame,
                (1 - share) * before.grain + share * after.grain,
                seed=self._seed,
                index=self._start + index,
                scale=float(np.sqrt(np.prod(frame.shape[:2]) / np.prod(before.size))),
            )
        return frame


def _shrink(frame: np.ndarray) -> np.ndarray:
    """Averages a frame to float32 in [-1, 1] of few rows and columns."""
    factor = max(1, max(frame.shape[:2]) / _HELD_SIDE)
    height, width = (max(1, round(side / factor)) for side in frame.shape[:2])
    return resize.resize_area(resize.to_signed(frame), (height, width))
