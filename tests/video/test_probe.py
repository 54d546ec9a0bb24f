"""Facts of files, and a fitting word on files that are none."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import level_frames, make_video, tone

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe

RATES = ["24", "24000/1001", "30000/1001", "16", "60", "25/2"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", RATES)
def test_rate_is_exact(clip: Callable[..., Path], rate: str, suffix: str) -> None:
    info = probe(clip("a" + suffix, level_frames(24), rate=Fraction(rate)))
    assert info.rate == Fraction(rate)
    assert info.frames == 24
    assert info.duration == 24 / Fraction(rate)
    assert not info.variable_rate


def test_facts_of_a_plain_file(clip: Callable[..., Path]) -> None:
    path = clip("a.mp4", level_frames(5), sounds=[tone(0.2)])
    info = probe(str(path))
    assert (info.path, info.width, info.height) == (path, 64, 48)
    assert (info.codec, info.pixel_format, info.audio_codec) == ("h264", "yuv420p", "aac")
    assert (info.rotation, info.pixel_aspect, info.start) == (0, 1, 0)


def test_silent_file_has_no_audio_codec(clip: Callable[..., Path]) -> None:
    assert probe(clip("a.mp4", level_frames(2))).audio_codec is None


@pytest.mark.parametrize(
    ("counterclockwise", "rotation", "size"),
    [(-90, 90, (48, 64)), (90, 270, (48, 64)), (180, 180, (64, 48)), (0, 0, (64, 48))],
)
def test_rotation(
    clip: Callable[..., Path], counterclockwise: int, rotation: int, size: tuple[int, int]
) -> None:
    info = probe(clip("a.mp4", level_frames(2), rotation=counterclockwise))
    assert info.rotation == rotation
    assert (info.width, info.height) == size


def test_pixel_aspect_widens_stored_columns(clip: Callable[..., Path]) -> None:
    frames = level_frames(2, width=48, height=64)
    info = probe(clip("a.mp4", frames, pixel_aspect=Fraction(4, 3)))
    assert (info.width, info.height, info.pixel_aspect) == (64, 64, Fraction(4, 3))
    turned = probe(clip("b.mp4", frames, pixel_aspect=Fraction(1, 2), rotation=90))
    assert (turned.width, turned.height) == (64, 24)


def test_variable_rate_keeps_the_mean_and_the_length(clip: Callable[..., Path]) -> None:
    stamps = [0, 100, 200, 330, 1300, 1400, 1500, 2500]
    info = probe(clip("a.mkv", level_frames(8), stamps=stamps, time_base=Fraction(1, 1000)))
    assert info.variable_rate
    assert info.frames == 8
    assert info.rate == 8 / info.duration
    assert 2.5 < info.duration < 3.6


def test_millisecond_jitter_is_a_constant_rate(clip: Callable[..., Path]) -> None:
    stamps = [round(i * 1001 / 24) + (i % 3 == 1) * 4 for i in range(24)]
    info = probe(clip("a.mkv", level_frames(24), stamps=stamps, time_base=Fraction(1, 1000)))
    assert not info.variable_rate
    assert info.frames == 24


def test_first_picture_may_come_late(clip: Callable[..., Path]) -> None:
    stamps = [12 + i for i in range(6)]
    info = probe(clip("a.mkv", level_frames(6), stamps=stamps, sounds=[tone(0.5)]))
    assert info.start == Fraction(1, 2)
    assert (info.rate, info.duration) == (24, Fraction(1, 4))


def test_frame_count_is_not_taken_from_the_header(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "whole.mkv", _noise(40))
    cut = tmp_path / "cut.mkv"
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert 5 < probe(cut).frames < 35


def test_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "a %03d.png"
    av.VideoFrame.from_ndarray(level_frames(1)[0], format="rgb24").save(str(tmp_path / "x.png"))
    (tmp_path / "x.png").rename(path)
    info = probe(path)
    assert (info.frames, info.width, info.height, info.codec) == (1, 64, 48, "png")


def _noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 48, 64, 3), np.uint8))


def _missing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("once upon a time\n" * 50)


def _without_index(path: Path) -> None:
    data = make_video(path, _noise(10)).read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        stream.codec_context.layout = "mono"
        frame = av.AudioFrame.from_ndarray(tone(0.2), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _zero_frames(path: Path) -> None:
    make_video(path, [])


def _header_alone(path: Path) -> None:
    make_video(path.with_suffix(".mkv"), []).rename(path)


def _stream_of_zero_frames(path: Path) -> None:
    make_video(path.with_suffix(".avi"), [], codec="mpeg4").rename(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_missing, "no such file"),
        (_folder, "is a folder"),
        (_empty, "empty"),
        (_text, "not a video"),
        (_without_index, "cut short"),
        (_sound_only, r"only sound \(aac\)"),
        (_zero_frames, "zero frames"),
        (_header_alone, "zero frames"),
        (_stream_of_zero_frames, "zero frames"),
    ],
)
def test_what_is_no_video_is_told(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        probe(path)
    assert str(path) in str(caught.value)


def test_plain_text_is_not_drawn_as_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    _text(path)
    with pytest.raises(InputError, match="only text"):
        probe(path)


def test_titles_of_unknown_encoding(tmp_path: Path) -> None:
    """Old films have titles in Latin-1, which is not valid where UTF-8 is expected."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Am?lie"
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")) + stream.encode(None))
    content = path.read_bytes()
    assert b"Am?lie" in content
    path.write_bytes(content.replace(b"Am?lie", b"Am\xe9lie"))
    assert probe(path).frames == 1
