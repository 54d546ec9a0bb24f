"""Rules of the reference implementation: rates, key frames, sizes, padding, windows."""

import pytest

from venhancer_jax.convert.parity.venhancer import releases
from venhancer_jax.pipelines.venhancer import official

Windows = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("fps", "target", "interpolated", "output"),
    [
        (24, 24, 0, 24),
        (24, 30, 0, 24),
        (8, 24, 2, 24),
        (23.976, 60, 2, 71.928),
        (29.97, 120, 3, 119.88),
        (30, 24, 0, 30),
        (2, 24, 8, 18),
        # Halves are rounded to the even number: 1.5 to 2, 2.5 to 2.
        (16, 24, 1, 32),
        (24, 60, 1, 48),
    ],
)
def test_rates(fps: float, target: float, interpolated: int, output: float):
    assert official.interpolated_frames(fps, target) == interpolated
    assert releases.output_fps(fps, interpolated) == pytest.approx(output)


@pytest.mark.parametrize(
    ("keys", "interpolated", "index"),
    [
        (1, 8, [0]),
        (3, 0, [0, 1, 2]),
        (3, 1, [0, -1, 1, -1, 2]),
        (2, 3, [0, -1, -1, -1, 1]),
    ],
)
def test_key_index(keys: int, interpolated: int, index: list[int]):
    assert official.key_index(keys, interpolated) == index


@pytest.mark.parametrize(
    ("height", "width", "up_scale", "size"),
    [
        (240, 426, 1, (882, 1566)),
        (240, 426, 4, (960, 1704)),
        (240, 426, 8, (1152, 2046)),
        (256, 256, 4, (1174, 1174)),
        (320, 576, 8, (1144, 2060)),
        (576, 320, 3, (1728, 960)),
        (181, 333, 8, (1132, 2082)),
        (720, 1280, 1.5, (1080, 1920)),
    ],
)
def test_target_size(height: int, width: int, up_scale: float, size: tuple[int, int]):
    assert official.target_size(height, width, up_scale) == size


@pytest.mark.parametrize(
    ("height", "width", "padding"),
    [
        (720, 1280, (0, 0, 0, 0)),
        (704, 1280, (0, 0, 8, 8)),
        (480, 640, (320, 320, 120, 120)),
        (719, 1279, (0, 1, 0, 1)),
        (721, 1281, (0, 63, 0, 63)),
        (1080, 1920, (0, 64, 0, 24)),
        (1280, 720, (280, 280, 0, 16)),
        # Legal already, and still a whole 64 more.
        (784, 1344, (0, 64, 0, 64)),
        (848, 1344, (0, 64, 0, 64)),
    ],
)
def test_padding(height: int, width: int, padding: tuple[int, int, int, int]):
    assert official.padding(height, width) == padding


def test_padding_to_another_target():
    assert official.padding(90, 140, (144, 192)) == (26, 26, 27, 27)
    assert official.padding(145, 192, (144, 192)) == (0, 0, 0, 63)


@pytest.mark.parametrize(
    ("frames", "interpolated", "windows"),
    [
        (32, 0, [(0, 32)]),
        (43, 0, [(0, 43)]),
        (44, 0, [(0, 32), (16, 44)]),
        (65, 1, [(0, 31), (16, 47), (32, 65)]),
        (73, 2, [(0, 31), (15, 46), (30, 61), (45, 73)]),
        (73, 8, [(0, 28), (18, 46), (36, 73)]),
    ],
)
def test_time_windows(frames: int, interpolated: int, windows: Windows):
    assert official.time_windows(frames, interpolated) == windows


@pytest.mark.parametrize("interpolated", range(9))
def test_time_windows_end_for_every_limit(interpolated: int):
    stride = interpolated + 1
    for limit in range(2, 33):
        windows = official.time_windows(20 * stride + 1, interpolated, limit)
        assert windows[-1][1] == 20 * stride + 1
        assert all(start % stride == 0 for start, _ in windows)
