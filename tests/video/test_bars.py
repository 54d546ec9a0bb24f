"""Black bars are cropped where they are bars for certain, and to even sizes."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax.video import crop_bars, probe, read_frames
from venhancer_jax.video.reading.bars import find_bars
from venhancer_jax.video.reading.probe import Crop


def _pictures(count: int = 10, height: int = 48, width: int = 64) -> np.ndarray:
    """Moving bright waves `[F, H, W, 3]`."""
    time, y, x = np.indices((count, height, width))
    wave = 140 + 90 * np.sin((x + 3 * time) / 5) * np.cos(y / 4)
    return np.repeat(wave[..., None], 3, -1).astype(np.uint8)


def _with_bars(
    top: int = 0, bottom: int = 0, left: int = 0, right: int = 0, level: int = 0
) -> np.ndarray:
    frames = _pictures()
    height, width = frames.shape[1:3]
    barred = np.full_like(frames, level)
    inner = np.s_[:, top : height - bottom, left : width - right]
    barred[inner] = frames[inner]
    return barred


@pytest.mark.parametrize(
    ("bars", "crop"),
    [
        ({"top": 6, "bottom": 6}, (6, 0, 36, 64)),
        ({"left": 8, "right": 8}, (0, 8, 48, 48)),
        ({"top": 4, "bottom": 8, "left": 2, "right": 10}, (4, 2, 36, 52)),
        ({"top": 5, "bottom": 6}, (5, 0, 38, 64)),
        ({"top": 7, "bottom": 4}, (6, 0, 38, 64)),
        ({"bottom": 1}, None),
    ],
)
def test_crop(bars: dict[str, int], crop: tuple[int, int, int, int] | None) -> None:
    expected = crop and Crop(top=crop[0], left=crop[1], height=crop[2], width=crop[3])
    assert find_bars(_with_bars(**bars)) == expected
    assert find_bars(_with_bars(**bars, level=12)) == expected
    assert find_bars(_with_bars(**bars).astype(np.uint16) * 257) == expected


def test_what_is_no_bar() -> None:
    assert find_bars(_pictures()) is None
    assert find_bars(np.zeros((5, 48, 64, 3), np.uint8)) is None
    assert find_bars([]) is None
    assert find_bars(_with_bars(top=6, bottom=6, level=40)) is None
    # More than a picture: a title on black.
    assert find_bars(_with_bars(top=16, bottom=14)) is None
    assert find_bars(_with_bars(left=25, right=25)) is None
    # Less is left than a picture has.
    assert find_bars(_with_bars(top=2)[:, :17]) is None


def test_a_bar_in_some_frames_is_none() -> None:
    frames = _with_bars(top=6, bottom=6)
    frames[4] = _pictures()[4]
    assert find_bars(frames) is None


def test_black_frames_hide_no_bars() -> None:
    frames = _with_bars(top=6, bottom=6)
    frames[:3] = 0
    assert find_bars(frames) == Crop(top=6, left=0, height=36, width=64)


def test_a_subtitle_in_a_bar_is_kept() -> None:
    frames = _with_bars(top=8, bottom=12)
    frames[5, 40:43, 20:40] = 230
    assert find_bars(frames) == Crop(top=7, left=0, height=36, width=64)


def test_a_dark_edge_that_brightens_slowly_is_kept() -> None:
    fade = np.clip(np.arange(48) / 24, 0, 1)[:, None, None]
    frames = (_pictures() * fade).astype(np.uint8)
    assert frames[:, :2].max() < 24
    assert find_bars(frames) is None


def test_frames_are_read_cropped(clip: Callable[..., Path]) -> None:
    frames = list(_with_bars(top=6, bottom=6, left=4, right=4))
    path = clip("a.mp4", frames, options={"crf": "18"})
    info = crop_bars(probe(path))
    assert (info.width, info.height) == (56, 36)
    whole = list(read_frames(path))
    for options in ({}, {"as_stored": True}):
        read = list(read_frames(info, **options))
        assert all(frame.flags.c_contiguous and frame.base is None for frame in read)
        np.testing.assert_array_equal(read, [frame[6:42, 4:60] for frame in whole])


def test_upright_frames_with_square_pixels_are_cropped(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4",
        list(_with_bars(top=8, bottom=8)),
        rotation=90,
        pixel_aspect=Fraction(2),
    )
    info = crop_bars(probe(path))
    assert (info.width, info.height) == (32, 128)
    assert next(iter(read_frames(info))).shape == (128, 32, 3)


def test_samples_are_spread_over_the_clip(tmp_path: Path) -> None:
    """The picture fills the frame only near the end."""
    frames = [*_with_bars(top=6, bottom=6)[:10]] * 3
    frames[24:] = list(_pictures())[:6]
    path = make_video(tmp_path / "a.mkv", frames)
    assert crop_bars(probe(path)).crop is None
    part = make_video(tmp_path / "b.mkv", frames[:24])
    assert crop_bars(probe(part)).height == 36


def test_a_clip_without_bars_is_unchanged(clip: Callable[..., Path]) -> None:
    info = probe(clip("a.mp4", list(_pictures())))
    assert crop_bars(info) is info
