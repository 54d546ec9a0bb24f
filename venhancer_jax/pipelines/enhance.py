"""The Python API: frames in, frames out."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.system import System
from venhancer_jax.settings import old_names
from venhancer_jax.video.frames import as_rgb


def enhance(
    frames: Iterable[np.ndarray],
    *,
    fps: float | str | Fraction,
    system: System,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Enhances a clip.

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
    return system.enhance(
        map(as_rgb, frames), rate=parse_fps(fps, "fps"), options=checked, progress=progress
    )
