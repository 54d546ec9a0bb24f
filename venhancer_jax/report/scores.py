"""Metrics of a result against a reference."""

import itertools
from pathlib import Path

from venhancer_jax.errors import InputError
from venhancer_jax.metrics import suite
from venhancer_jax.metrics.clips import open_clip

_NAMES = {"psnr": "PSNR, dB", "ssim": "SSIM", "lpips": "LPIPS"}
_BETTER = {"psnr": "higher", "ssim": "higher", "lpips": "lower"}
MOST_FRAMES = 120


def score(target: Path, reference: Path) -> list[tuple[str, float | None, str]]:
    """Measures a result.

    Args:
      target: result.
      reference: video with as many frames of its size.

    Returns:
      Name, value and better direction of each metric; without LPIPS where it is not installed.

    Raises:
      InputError: the reference does not fit.
    """
    result, wanted = open_clip(target), open_clip(reference)
    if (result.width, result.height, result.count) != (wanted.width, wanted.height, wanted.count):
        raise InputError(
            f"{reference}: {wanted.count} frames of {wanted.width}x{wanted.height}, but"
            f" {target} has {result.count} of {result.width}x{result.height}; give a reference of"
            " the same size and length"
        )
    names = []
    for name in _NAMES:
        try:
            names += suite.choose([name])[0]
        except InputError:
            continue  # its package is not installed
    clip = suite.ClipScore(names)
    frames = zip(result.frames(MOST_FRAMES), wanted.frames(MOST_FRAMES), strict=False)
    for pred, expected in itertools.islice(frames, MOST_FRAMES):
        clip.add(pred, expected)
    return [(_NAMES[name], value, _BETTER[name]) for name, value in clip.results().items()]
