"""Rules of the reference implementation's other releases, which parity recordings depend on."""

from collections.abc import Callable

import pytest

from venhancer_jax.convert.parity.venhancer import releases

Windows = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("height", "width", "up_scale", "size"),
    [
        (240, 426, 1, (720, 1278)),
        (320, 576, 3, (960, 1728)),
        (360, 640, 4, (1214, 2158)),
        (181, 333, 8, (1192, 2196)),
    ],
)
def test_target_size_of_the_second_release(
    height: int, width: int, up_scale: float, size: tuple[int, int]
):
    assert releases.target_size_second_release(height, width, up_scale) == size


@pytest.mark.parametrize(
    ("height", "up_scale", "found"), [(240, 1, 3.0), (256, 1.5, 2.8125), (360, 2, 2), (181, 8, 8)]
)
def test_up_scale_of_the_first_release(height: int, up_scale: float, found: float):
    assert releases.up_scale_first_release(height, up_scale) == found


@pytest.mark.parametrize(
    ("rule", "arguments", "windows"),
    [
        (releases.time_windows_second_release, (32, 0), [(0, 32)]),
        (releases.time_windows_second_release, (49, 0), [(0, 24), (12, 36), (24, 49)]),
        (releases.time_windows_second_release, (49, 2), [(0, 22), (12, 34), (24, 49)]),
        (releases.time_windows_second_release, (48, 7), [(0, 17), (8, 25), (16, 33), (24, 48)]),
        (releases.time_windows_star, (40, 32), [(0, 40)]),
        (releases.time_windows_star, (97, 32), [(0, 32), (16, 48), (32, 64), (48, 80), (64, 97)]),
        (releases.time_windows_star, (48, 24), [(0, 24), (12, 36), (24, 48)]),
        (releases.time_windows_star, (25, 16), [(0, 16), (8, 25)]),
    ],
)
def test_time_windows(rule: Callable[..., Windows], arguments: tuple[int, int], windows: Windows):
    assert rule(*arguments) == windows
