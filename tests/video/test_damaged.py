"""A damaged or short video is an error that says how much is there, unless that is allowed."""

import logging
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import level_frames, make_video, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames


def _noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), np.uint8))


def _packets(path: Path) -> list[tuple[int, int]]:
    """Returns position and size of each stored picture, in file order."""
    with av.open(str(path)) as container:
        return [(p.pos or 0, p.size) for p in container.demux(video=0) if p.size]


def _blank(path: Path, *pictures: int) -> None:
    """Overwrites stored pictures with zeros."""
    data = bytearray(path.read_bytes())
    places = _packets(path)
    for picture in pictures:
        position, size = places[picture]
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def _faststart(path: Path) -> Path:
    fast = path.with_name("fast.mp4")
    options = {"movflags": "+faststart"}
    with av.open(str(path)) as source, av.open(str(fast), "w", options=options) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return fast


def _cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])


def test_an_mp4_cut_to_a_tenth(clip: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    path = _faststart(clip("a.mp4", _noise(96), options={"crf": "20", "bf": "0"}))
    _cut(path, 0.1)
    info = probe(path)
    assert 5 < info.frames < 15
    promise = rf"cut short: {info.frames} of 96 frames, 0\.\d of 4\.0 s are there"
    with pytest.raises(InputError, match=promise + ".*allow_damaged"):
        read_frames(path)  # at the call
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(path, allow_damaged=True))
    # The last one may be cut off in its middle.
    assert info.frames - 1 <= len(frames) <= info.frames
    assert "cut short" in caplog.text


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.avi", "mjpeg")])
def test_other_containers_cut_short(tmp_path: Path, name: str, codec: str) -> None:
    layout = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = {"bf": "0"} if codec == "libx264" else {}
    path = make_video(
        tmp_path / name, _noise(48), codec=codec, pixel_format=layout, options=options
    )
    assert len(list(read_frames(path))) == 48
    _cut(path, 0.5)
    info = probe(path)
    assert 15 < info.frames < 33
    with pytest.raises(InputError, match=r"cut short: .*[01]\.\d of 2\.0 s are there"):
        read_frames(path)
    frames = list(read_frames(path, allow_damaged=True))
    assert info.frames - 1 <= len(frames) <= info.frames


def test_a_file_that_breaks_off_while_it_is_read(
    clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = _faststart(clip("a.mp4", _noise(30), options={"crf": "20", "bf": "0"}))
    info = probe(path)
    _cut(path, 0.5)
    with pytest.raises(InputError, match=r"breaks off|cannot be decoded") as caught:
        list(read_frames(info))
    assert " of 30 frames (0." in str(caught.value)
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(info, allow_damaged=True))
    assert 5 < len(frames) < 25
    assert "breaks off" in caplog.text


def test_a_picture_that_cannot_be_decoded(
    clip: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = clip("a.mov", level_frames(12), codec="png", pixel_format="rgb24", options={})
    _blank(path, 5)
    read = []
    with pytest.raises(InputError, match=r"near 0.17 s .*; 5 of 12 frames \(0.2 of 0.5 s\)"):
        for frame in read_frames(path):
            read.append(number_of(frame))
    assert read == [0, 1, 2, 3, 4]
    with caplog.at_level(logging.WARNING):
        allowed = [number_of(frame) for frame in read_frames(path, allow_damaged=True)]
    assert allowed == [0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]
    assert "1 damaged" in caplog.text


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_picture_that_the_decoder_conceals(
    tmp_path: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The decoder fills in what is missing, and only marks the picture as corrupt."""
    path = make_video(tmp_path / "a.mp4", _noise(12), codec=codec, options={"g": "4", "bf": "0"})
    data = bytearray(path.read_bytes())
    position, size = _packets(path)[5]
    start, stop = position + size // 3, position + 2 * size // 3
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with av.open(str(path)) as container:
        marked = [frame.is_corrupt for frame in container.decode(video=0)]
    assert len(marked) == 12 and marked[5]
    with pytest.raises(InputError, match=r"near 0.21 s cannot be decoded in full"):
        list(read_frames(path))
    # Also after a seek, where pictures before the first whole one are skipped.
    with pytest.raises(InputError, match=r"near 0.21 s cannot be decoded in full"):
        list(read_frames(path, start_time=4 / 24, max_frames=3))
    assert len(list(read_frames(path, start_time=8 / 24))) == 4
    assert "shown as far as known" not in caplog.text
    with caplog.at_level(logging.WARNING):
        assert len(list(read_frames(path, allow_damaged=True))) == 12
    assert "1 damaged pictures are shown as far as known" in caplog.text


def test_nothing_to_decode(clip: Callable[..., Path]) -> None:
    path = clip("a.mov", level_frames(3), codec="png", pixel_format="rgb24", options={})
    info = probe(path)
    _blank(path, 0, 1, 2)
    with pytest.raises(InputError, match="none of the 3 frames can be decoded"):
        probe(path)
    with pytest.raises(InputError, match="0 of 3 frames"):
        list(read_frames(info))
    with pytest.raises(InputError, match="no frame can be decoded from frame 0 on"):
        list(read_frames(info, allow_damaged=True))


def test_a_broadcast_that_begins_anywhere_is_whole(tmp_path: Path) -> None:
    """Pictures before the first key frame refer to pictures that are not in the file."""
    options = {"g": "12", "bf": "2", "b": "2M"}
    path = make_video(tmp_path / "a.ts", _noise(36), codec="mpeg2video", options=options)
    data = path.read_bytes()
    position = _packets(path)[5][0]
    header = data[: 3 * 188]  # the tables of programs
    path.write_bytes(header + data[position // 188 * 188 :])
    info = probe(path)
    assert 20 < info.frames < 31
    assert len(list(read_frames(path))) == info.frames
