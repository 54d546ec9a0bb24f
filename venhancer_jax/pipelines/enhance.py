"""The Python API: frames in, frames out."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import EnhanceOptions, parse_fps
from venhancer_jax.pipelines.venhancer.system import Progress, VEnhancer


def enhance(
    frames: Iterable[np.ndarray],
    *,
    fps: float | str | Fraction,
    system: VEnhancer,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """Enhances a clip.

    Args:
      frames: uint8 `[H, W, 3]` each, all of one size; taken one by one.
      fps: of the frames: 24, 23.976, "30000/1001".
      system: from `venhancer_jax.load_venhancer`.
      progress: told `(stage, done, total)`.
      **options: fields of `EnhanceOptions`: `up_scale=2, target_fps=60, prompt="..."`.

    Returns:
      An iterator of uint8 `[H', W', 3]`, at `target_fps` frames a second.

    Raises:
      InputError: an unknown option or a value out of range; while iterating, no frames or frames
        that do not fit the options.
    """
    if options.get("target_fps") is not None:
        options["target_fps"] = parse_fps(options["target_fps"])
    try:
        checked = EnhanceOptions(**options)
    except TypeError as error:
        raise InputError(f"unknown option: {error}") from None
    return system.enhance(frames, rate=parse_fps(fps), options=checked, progress=progress)
