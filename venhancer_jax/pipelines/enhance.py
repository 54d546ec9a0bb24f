"""The Python API: frames in, frames out."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import TimedFrame
from venhancer_jax.pipelines.stream import enhance_stream
from venhancer_jax.pipelines.system import System
from venhancer_jax.settings import old_names
from venhancer_jax.video.frames import as_rgb
from venhancer_jax.video.scenes.cuts import mark_cuts


def enhance(
    frames: Iterable[np.ndarray],
    *,
    fps: float | str | Fraction,
    system: System,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Enhances a clip of any length, scene by scene and segment by segment.

    Args:
      frames: RGB frames `[H, W, 3]`, all of one size, consumed one by one: uint8, uint16
        with white at 65,535, or floats from 0 to 1. Grey frames `[H, W]` and RGBA frames are
        converted.
      fps: frames per second of the input: 24, 23.976, "30000/1001".
      system: loaded system, such as that of `venhancer_jax.load_venhancer`.
      progress: callback `(stage, done, total)` for the progress of each stage.
      **options: options of the system: `up_scale=2, target_fps=60, prompt="..."`.

    Returns:
      An iterator of RGB frames `[H', W', 3]`, at `target_fps` frames per second: uint16 for uint16
      frames, else uint8.

    Raises:
      InputError: an unknown option or a value out of range; while iterating, no frames or frames
        that do not fit the options.
    """
    renamed = old_names(system.options_class)
    options = {renamed.get(name, name): value for name, value in options.items()}
    try:
        checked = system.options_class(**options)
    except TypeError as error:
        raise InputError(f"unknown option: {error}") from None
    rate = parse_fps(fps, "fps")
    return _enhance(system, _of_one_size(map(as_rgb, frames)), rate, checked, progress)


def _enhance(
    system: System,
    frames: Iterator[np.ndarray],
    rate: Fraction,
    options: Any,
    progress: Progress | None,
) -> Iterator[np.ndarray]:
    streamed = enhance_stream(
        system,
        (TimedFrame(x, i, i + 1, cut) for i, (x, cut) in enumerate(mark_cuts(frames))),
        rate=rate,
        clock=system.output_clock(rate, None, options),
        options=options,
        progress=progress or (lambda stage, done, total: None),
    )
    empty = True
    for segment in streamed:
        empty = False
        yield from (frame for frame, _ in segment.frames)
    if empty:
        raise InputError("no frames: the video is empty or starts after its end")


def _of_one_size(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    shape = None
    for i, frame in enumerate(frames):
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(f"frame {i} is {frame.shape}, the first one {shape}")
        yield frame
