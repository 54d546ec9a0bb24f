"""The arithmetic of the published programs: rates, sizes, padding, key frames, windows.

Their quirks are intended: `compat="official"` and the parity recordings depend on each of them.
"""

import math

from venhancer_jax.pipelines.pieces import Window, sliding_windows

MAX_INTERPOLATED = 8
PAD_TARGET = (720, 1280)
WINDOW_LIMIT = 32


def interpolated_frames(fps: float, target_fps: float) -> int:
    """Computes the number of frames between two input frames: at most 8, rounded half to even."""
    return min(max(round(target_fps / fps) - 1, 0), MAX_INTERPOLATED)


def key_index(key_frames: int, interpolated: int) -> list[int]:
    """Returns the index of each output frame among the key frames, -1 for interpolated frames."""
    gap = [-1] * interpolated
    index = [value for key in range(key_frames) for value in (key, *gap)]
    return index[: (key_frames - 1) * (interpolated + 1) + 1]


def target_size(height: int, width: int, up_scale: float) -> tuple[int, int]:
    """Computes the output size: the scale is clipped to the allowed area, sides are even."""
    area = height * width
    if area * up_scale**2 < 720 * 1280 * 1.5:
        up_scale = math.sqrt(720 * 1280 * 1.5 / area)
    elif area * up_scale**2 > 1152 * 2048:
        up_scale = math.sqrt(1152 * 2048 / area)
    return _even(up_scale, height), _even(up_scale, width)


def padding(
    height: int, width: int, target: tuple[int, int] = PAD_TARGET
) -> tuple[int, int, int, int]:
    """Computes the white pixels `(left, right, top, bottom)` around a frame.

    Sizes below the target are centred in it; larger ones grow right and down to the next legal
    size, by a full 64 where they are legal already.
    """
    target_height, target_width = target
    if height <= target_height:
        top, bottom = _split(target_height - height)
    else:
        top, bottom = 0, (height + 48) // 64 * 64 + 64 - 48 - height
    if width <= target_width:
        left, right = _split(target_width - width)
    else:
        left, right = 0, width // 64 * 64 + 64 - width
    return left, right, top, bottom


def time_windows(frames: int, interpolated: int, limit: int = WINDOW_LIMIT) -> list[Window]:
    """Cuts a clip into windows that overlap by half; each starts on a key frame."""
    if frames <= limit:
        return [(0, frames)]
    stride = interpolated + 1
    # Where the limit has no room for two key frames, which the published programs never meet,
    # a window has two all the same.
    window = max(1, (limit - 1) // stride) * stride + 1
    overlap = int((limit / 2 - 1) // stride * stride + 1)
    return sliding_windows(frames, window, overlap)


def _even(scale: float, side: int) -> int:
    return int(scale * side // 2 * 2)


def _split(extra: int) -> tuple[int, int]:
    return extra // 2, extra - extra // 2
