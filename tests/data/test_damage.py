"""Odd and damaged videos among good ones: left out and named, and nothing else is."""

import itertools
import json
import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video.video_clips import level_frames, make_video, number_of

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.clips import ClipRules
from venhancer_jax.data.pipeline import ExampleMaker, training_pipeline
from venhancer_jax.data.prepare import prepare
from venhancer_jax.data.sources import FolderSource, PreparedSource, SyntheticSource, VideoClip
from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames

RULES = ClipRules(min_height=32, min_frames=6, min_fps=5)
CONFIG = AugmentConfig(frames=5, height=32, width=48)
CODECS = ("libx264", "libx265", "mpeg4")


def _texture(count: int) -> list[np.ndarray]:
    texture = np.random.default_rng(0).integers(0, 256, (64, 96 + count, 3), np.uint8)
    return [np.ascontiguousarray(texture[:, i : i + 96]) for i in range(count)]


def _indexed(path: Path, codec: str = "libx264") -> bytes:
    """A clip whose index comes first, as that of files for the web."""
    # Pictures before a key frame refer to what is before them, as far as the codec can.
    options = {
        "libx264": {"x264-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1:bframes=3"},
        "libx265": {"x265-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=1:log-level=none"},
    }.get(codec, {"g": "12"})
    source = make_video(path.with_suffix(".mov"), _texture(36), codec=codec, options=options)
    with (
        av.open(str(source)) as read,
        av.open(str(path), "w", options={"movflags": "faststart"}) as write,
    ):
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                write.mux(packet)
    source.unlink()
    return path.read_bytes()


def _scratched(data: bytes, filling: bytes = b"\xff" * 1000) -> bytes:
    """A hole in the pictures; header and index survive.

    Entropy decoders make pictures of nearly anything. Only long holes are certain to be met.
    """
    pictures = data.index(b"mdat") + 8
    hole = pictures + (len(data) - pictures) // 2
    return data[:hole] + filling + data[hole + len(filling) :]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A good video, and four that are none or are damaged in their own ways."""
    folder = tmp_path / "videos"
    folder.mkdir()
    whole = _indexed(folder / "good.mp4")
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "scratched.mp4").write_bytes(_scratched(whole))
    (folder / "text.mp4").write_text("not a video, but a text\n" * 50)
    (folder / "empty.mp4").write_bytes(b"")
    return folder


REASONS = {
    "cut.mp4": "of 36 frames, ",
    "scratched.mp4": "cannot be decoded in full",
    "text.mp4": "not a video",
    "empty.mp4": "the file is empty",
}


def test_prepare_names_what_it_leaves_out(damaged: Path, tmp_path: Path):
    done = prepare(damaged, tmp_path / "out", rules=RULES)

    assert done.clips == 1 and set(done.skipped) == set(REASONS)
    for name, reason in REASONS.items():
        assert reason in done.skipped[name], name
    lines = [json.loads(x) for x in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert {line["video"] for line in lines if "skipped" in line} == set(REASONS)
    assert "4 videos skipped" in (tmp_path / "out" / "statistics.md").read_text()
    assert [clip.name for clip in _clips(tmp_path / "out")] == ["good.mp4#0000"]


def test_a_folder_of_videos_goes_on_without_them(damaged: Path, caplog: pytest.LogCaptureFixture):
    # All frames of a clip, so that the hole is met.
    config = AugmentConfig(frames=36, height=32, width=48)
    with caplog.at_level(logging.WARNING):
        stream = training_pipeline(FolderSource(damaged), config, batch=1)
        assert len(list(itertools.islice(stream, 4))) == 4
    messages = [message for message in caplog.messages if message.startswith("skipped")]
    assert len(messages) == 4 and messages[3].endswith("(4 so far)")
    for name, reason in REASONS.items():
        assert any(m.startswith(f"skipped {name}: ") and reason in m for m in messages), name


@pytest.mark.parametrize("codec", CODECS)
def test_only_what_is_damaged_is_refused(tmp_path: Path, codec: str):
    data = _indexed(tmp_path / "good.mp4", codec)
    (tmp_path / "bad.mp4").write_bytes(_scratched(data))
    good = probe(tmp_path / "good.mp4")
    # From every start: decoding begins at a key frame whose neighbours refer to what is before it.
    for first in range(good.frames - 1):
        start = float(first / good.rate)
        assert len(list(read_frames(good, start_time=start, max_frames=2))) == 2
    with pytest.raises(InputError, match=r"bad\.mp4: damaged: a picture near .* s"):
        list(read_frames(tmp_path / "bad.mp4"))
    assert len(list(read_frames(tmp_path / "bad.mp4", allow_damaged=True))) == good.frames


def test_pictures_that_the_decoder_mends_are_refused(tmp_path: Path):
    """It makes up what is missing, and only says so."""
    data = _indexed(tmp_path / "good.mp4", "mpeg4")
    (tmp_path / "bad.mp4").write_bytes(_scratched(data, bytes(60)))

    with pytest.raises(InputError, match="cannot be decoded in full"):
        list(read_frames(tmp_path / "bad.mp4"))


def test_what_lies_before_the_hole_can_be_used(tmp_path: Path):
    (tmp_path / "bad.mp4").write_bytes(_scratched(_indexed(tmp_path / "bad.mp4")))
    clip = VideoClip(tmp_path / "bad.mp4", "bad.mp4")

    assert clip.read(np.arange(5)).shape == (5, 64, 96, 3)
    with pytest.raises(InputError, match="damaged"):
        clip.read(np.arange(5, 30))


class _Flaky:
    """A clip that fails when told to."""

    name, caption, fails = "flaky", "", False

    def facts(self):
        return SyntheticSource(frames=5, height=32, width=48)[0].facts()

    def read(self, numbers: np.ndarray) -> np.ndarray:
        if self.fails:
            raise InputError("damaged here")
        return np.zeros((len(numbers), 32, 48, 3), np.uint8)


def test_a_clip_that_was_used_may_fail_now_and_then():
    maker, clip = ExampleMaker(CONFIG, seed=0, clips=1), _Flaky()
    for index in range(40):
        clip.fails = index % 2 == 1
        assert (maker(index, clip) is None) == clip.fails
    clip.fails = True
    with pytest.raises(InputError, match="none of the 1 clips can be used"):
        for index in range(1000):
            maker(index, clip)


def test_odd_sizes_and_shapes(tmp_path: Path, scene):
    """Rows and columns that are odd, a turned picture, and pixels that are not square."""
    videos = tmp_path / "videos"
    videos.mkdir()
    frames = [frame[:63, :95] for frame in (*scene(10, 60), *scene(10, 190, 1))]
    make_video(videos / "odd.mp4", frames[:10], pixel_format="yuv444p")
    make_video(videos / "two.mp4", frames, pixel_format="yuv444p")
    make_video(videos / "turned.mp4", _texture(10), rotation=90)
    make_video(videos / "wide.mp4", _texture(10), pixel_aspect=Fraction(4, 3))

    done = prepare(videos, tmp_path / "out", rules=RULES)

    assert done.skipped == {}
    sizes = {}
    for clip in _clips(tmp_path / "out"):
        facts = clip.facts()
        sizes[clip.name] = (facts.height, facts.width)
        assert clip.read(np.arange(facts.frames)).shape[1:3] == sizes[clip.name], clip.name
    assert sizes["odd.mp4#0000"] == sizes["two.mp4#0001"] == (63, 95)
    assert sizes["turned.mp4#0000"] == (96, 64)
    assert sizes["wide.mp4#0000"] == (64, 128)
    lines = [json.loads(x) for x in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines if line["kept"]] == ["odd.mp4#0000"]


def test_a_variable_frame_rate_becomes_a_constant_one(tmp_path: Path):
    """Each frame is shown as long as it was."""
    videos = tmp_path / "videos"
    videos.mkdir()
    stamps = [0, 1, 2, 3, 4, 5, 9, 13, 17, 21]
    make_video(
        videos / "variable.mp4",
        level_frames(10, 64, 64),
        stamps=stamps,
        time_base=Fraction(1, 24),
    )
    assert probe(videos / "variable.mp4").variable_rate

    assert prepare(videos, tmp_path / "out", rules=RULES).clips == 1

    (clip,) = _clips(tmp_path / "out")
    facts = clip.facts()
    shown = [number_of(frame) for frame in clip.read(np.arange(facts.frames))]
    times = [24 * i / facts.rate + Fraction(1, 100) for i in range(facts.frames)]
    expected = [max(i for i, stamp in enumerate(stamps) if stamp <= time) for time in times]
    assert shown == expected
    assert not json.loads((tmp_path / "out" / "manifest.jsonl").read_text())["kept"]


def _clips(folder: Path) -> list:
    source = PreparedSource(folder)
    return [source[i] for i in range(len(source))]
