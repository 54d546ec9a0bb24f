"""Frames read from the middle of a video are those of reading the whole of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax.video import probe, read_frames

COUNT = 40
_X264 = {"crf": "24", "g": "12", "bf": "3", "preset": "veryfast"}
CODECS = {
    "h264_closed": ("a.mp4", "libx264", "yuv420p", _X264),
    "h264_open": ("a.mp4", "libx264", "yuv420p", _X264 | {"x264-params": "open-gop=1"}),
    "h264_444": ("a.mp4", "libx264", "yuv444p", _X264),
    "h264_refresh": ("a.mkv", "libx264", "yuv420p", {"crf": "24", "intra-refresh": "1", "g": "12"}),
    "h265": ("a.mp4", "libx265", "yuv420p", {"x265-params": "log-level=none:keyint=12:crf=24"}),
    "mpeg2": ("a.ts", "mpeg2video", "yuv420p", {"g": "12", "bf": "2", "b": "2M"}),
    "mpeg4": ("a.avi", "mpeg4", "yuv420p", {"g": "12", "b": "2M"}),
    "vp8": ("a.webm", "libvpx", "yuv420p", {"g": "12", "deadline": "realtime"}),
    "vp9": ("a.webm", "libvpx-vp9", "yuv420p", {"g": "12", "deadline": "realtime"}),
    "av1": ("a.mp4", "libsvtav1", "yuv420p", {"g": "12", "preset": "12"}),
}


def moving(count: int = COUNT) -> list[np.ndarray]:
    """Waves that move and change, with detail at all scales: uint8 `[96, 128, 3]` each."""
    y, x = np.indices((96, 128), np.float32)
    random = np.random.default_rng(0)
    waves = random.uniform(-0.8, 0.8, (12, 4))
    return [
        np.stack(
            [
                128
                + 25 * sum(np.sin(a * (x - 2 * t) + b * y + c * t + d + k) for a, b, c, d in waves)
                for k in range(3)
            ],
            -1,
        )
        .clip(0, 255)
        .astype(np.uint8)
        for t in range(count)
    ]


@pytest.mark.parametrize("name", CODECS)
def test_frames_after_a_seek(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, codec, pixel_format, options = CODECS[name]
    monkeypatch.setenv("SVT_LOG", "1")
    path = make_video(
        tmp_path / file, moving(), codec=codec, pixel_format=pixel_format, options=options
    )
    info = probe(path)
    assert (info.frames, info.damage) == (COUNT, "")
    whole = list(read_frames(info))
    assert len(whole) == COUNT
    for first in (1, 7, 11, 12, 13, 20, 35, 39):
        part = list(read_frames(info, start_time=float(first / info.rate), max_frames=3))
        np.testing.assert_array_equal(part, whole[first : first + 3], err_msg=f"from {first}")


def test_h264_444_of_an_older_x264(tmp_path: Path) -> None:
    """Only the first packet names the release of x264, and builds before 151 predict otherwise."""
    path = make_video(
        tmp_path / "a.mp4",
        moving(),
        pixel_format="yuv444p",
        options=_X264
        | {"preset": "medium", "crf": "0", "x264-params": "cabac=0:8x8dct=1:partitions=i8x8"},
    )
    newer = list(read_frames(path))
    data = path.read_bytes()
    assert data.count(b"x264 - core ") == 1
    path.write_bytes(re.sub(rb"x264 - core \d+", b"x264 - core 125", data))
    info = probe(path)
    older = list(read_frames(info))
    assert all(np.any(a != b) for a, b in zip(newer[12:], older[12:], strict=True))
    for first in (1, 12, 13, 30):
        part = list(read_frames(info, start_time=float(first / info.rate), max_frames=5))
        np.testing.assert_array_equal(part, older[first : first + 5])
