"""Arithmetic of the published programs that inference does not use: other releases, STAR."""

import math

from venhancer_jax.pipelines.pieces import Window
from venhancer_jax.pipelines.venhancer.official import WINDOW_LIMIT


def output_fps(fps: float, interpolated: int) -> float:
    """Computes the rate of the output, which may differ from the target."""
    return fps * (interpolated + 1)


def target_size_second_release(height: int, width: int, up_scale: float) -> tuple[int, int]:
    """Computes the size of the output in the second release."""
    if height * up_scale < 720:
        up_scale = 720 / height
    elif height * width * up_scale**2 > 1280 * 2048:
        up_scale = math.sqrt(1280 * 2048 / (height * width))
    return _even(up_scale, height), _even(up_scale, width)


def up_scale_first_release(height: int, up_scale: float) -> float:
    """Computes the scale in the first release, raised to at least 720 rows."""
    return 720 / height if height * up_scale < 720 else up_scale


def time_windows_second_release(frames: int, interpolated: int) -> list[Window]:
    """Cuts clips of more than 32 frames into windows of 24, the last of up to 32."""
    stride = interpolated + 1
    window, overlap = 23 // stride * stride + 1, 11 // stride * stride + 1
    return _windows(frames, window, overlap, spare=8)


def time_windows_star(frames: int, limit: int = WINDOW_LIMIT) -> list[Window]:
    """Cuts a clip as the project STAR does: half overlaps, a last window of up to 5/4."""
    return _windows(frames, limit, limit // 2, spare=limit / 4)


def _windows(frames: int, window: int, overlap: int, *, spare: float) -> list[Window]:
    start, windows = 0, []
    while start + window + spare < frames:
        windows.append((start, start + window))
        start += window - overlap
    return [*windows, (start, frames)]


def _even(scale: float, side: int) -> int:
    return int(scale * side // 2 * 2)
