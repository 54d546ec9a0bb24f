"""Frames come upright, in the right colours, at the right times, as far as the file goes."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from video.video_clips import level_frames, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import probe, read_frames

PATCHES = [(200, 30, 40), (20, 180, 60), (30, 50, 220), (230, 220, 20), (128, 128, 128)]


def _numbers(path: Path, **options: object) -> list[int]:
    return [number_of(frame) for frame in read_frames(path, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_all_frames_in_order(clip: Callable[..., Path], suffix: str) -> None:
    path = clip("a" + suffix, level_frames(20), codec="libx264" if suffix != ".avi" else "mpeg4")
    frames = list(read_frames(path))
    assert [number_of(frame) for frame in frames] == list(range(20))
    assert all(f.shape == (48, 64, 3) and f.dtype == np.uint8 for f in frames)
    assert all(f.flags.c_contiguous and f.flags.writeable for f in frames)


def test_one_frame(clip: Callable[..., Path]) -> None:
    assert _numbers(clip("a.mp4", level_frames(1))) == [0]


@pytest.mark.parametrize("options", [{"crf": "0"}, {"crf": "0", "g": "5"}])
@pytest.mark.parametrize(
    ("start", "first"), [(0.0, 0), (0.3, 7), (7 / 24, 7), (0.99 * 20 / 24, 19)]
)
def test_start_time(
    clip: Callable[..., Path], options: dict[str, str], start: float, first: int
) -> None:
    path = clip("a.mp4", level_frames(20), options=options)
    assert _numbers(path, start_time=start) == list(range(first, 20))


def test_start_time_of_each_frame(clip: Callable[..., Path]) -> None:
    rate = Fraction(30000, 1001)
    path = clip("a.mp4", level_frames(20), rate=rate)
    starts = [float(number / rate) for number in range(20)]
    assert [_numbers(path, start_time=start, max_frames=1) for start in starts] == [
        [number] for number in range(20)
    ]


def test_start_time_where_seeking_fails(clip: Callable[..., Path]) -> None:
    path = clip("a.h264", level_frames(12))
    assert _numbers(path, start_time=0.2, max_frames=2)[0] == int(0.2 * probe(path).rate)


def test_max_frames(clip: Callable[..., Path]) -> None:
    path = clip("a.mp4", level_frames(20))
    assert _numbers(path, max_frames=3) == [0, 1, 2]
    assert _numbers(path, start_time=0.5, max_frames=2) == [12, 13]
    assert _numbers(path, max_frames=99) == list(range(20))


@pytest.mark.parametrize("wrong", [{"start_time": -0.1}, {"start_time": 0.5}, {"max_frames": 0}])
def test_wrong_ranges_are_told_at_the_call(clip: Callable[..., Path], wrong: dict) -> None:
    path = clip("a.mp4", level_frames(12))
    with pytest.raises(InputError, match=next(iter(wrong))):
        read_frames(path, **wrong)


@pytest.mark.parametrize(
    ("counterclockwise", "flip", "upright"),
    [
        (90, False, lambda image: np.rot90(image, 1)),
        (-90, False, lambda image: np.rot90(image, -1)),
        (180, False, lambda image: image[::-1, ::-1]),
        (0, True, lambda image: image[:, ::-1]),
    ],
)
def test_display_matrix(
    clip: Callable[..., Path],
    quadrants: np.ndarray,
    counterclockwise: int,
    flip: bool,
    upright: Callable[[np.ndarray], np.ndarray],
) -> None:
    path = clip("a.mp4", [quadrants], rotation=counterclockwise, flip=flip)
    (frame,) = read_frames(path)
    expected = upright(quadrants)
    assert frame.shape == expected.shape
    assert np.median(np.abs(frame.astype(int) - expected)) <= 2
    for row, column in [(5, 5), (5, -6), (-6, 5), (-6, -6)]:
        assert np.abs(frame[row, column].astype(int) - expected[row, column]).max() <= 4


def test_anamorphic_pixels_become_square(clip: Callable[..., Path], quadrants: np.ndarray) -> None:
    (frame,) = read_frames(clip("a.mp4", [quadrants], pixel_aspect=Fraction(4, 3)))
    assert frame.shape == (48, 85, 3)
    assert frame[10, 38, 0] > 180 and frame[10, 47, 1] > 180


def test_variable_rate_repeats_and_drops_by_time(clip: Callable[..., Path]) -> None:
    # Mean 4 frames a second; ticks are at 0, 250, 500 ms and so on.
    stamps = [0, 40, 80, 120, 900, 1250, 1300, 1750]
    path = clip("a.mkv", level_frames(8), stamps=stamps, time_base=Fraction(1, 1000))
    info = probe(path)
    assert info.variable_rate
    numbers = _numbers(path)
    assert len(numbers) == info.frames
    shown = [
        max(i for i, stamp in enumerate(stamps) if stamp / 1000 <= tick / info.rate + 1e-3)
        for tick in range(info.frames)
    ]
    assert numbers == shown
    assert len(set(shown)) < len(shown)


def test_repeated_frames_are_arrays_of_their_own(clip: Callable[..., Path]) -> None:
    stamps = [0, 40, 80, 120, 900, 1250, 1300, 1750]
    path = clip("a.mkv", level_frames(8), stamps=stamps, time_base=Fraction(1, 1000))
    numbers = []
    for frame in read_frames(path):
        numbers.append(number_of(frame))
        frame[:] = 0
    assert numbers == _numbers(path)


@pytest.mark.parametrize(
    ("matrix", "tag"), [(Colorspace.ITU709, 1), (Colorspace.ITU601, 6), (Colorspace.ITU601, None)]
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_colour_patches(
    clip: Callable[..., Path], matrix: Colorspace, tag: int | None, pixel_format: str
) -> None:
    frames = [np.full((48, 64, 3), patch, np.uint8) for patch in PATCHES]
    path = clip("a.mkv", frames, matrix=matrix, tag=tag, pixel_format=pixel_format)
    for frame, patch in zip(read_frames(path), PATCHES, strict=True):
        assert np.abs(frame.astype(int) - patch).max() <= 3


def test_untagged_high_definition_is_bt709(clip: Callable[..., Path]) -> None:
    patch = np.full((720, 64, 3), (200, 30, 40), np.uint8)
    (frame,) = read_frames(clip("a.mkv", [patch], matrix=Colorspace.ITU709))
    assert np.abs(frame.astype(int) - patch).max() <= 3


def test_full_range(clip: Callable[..., Path]) -> None:
    path = clip("a.avi", level_frames(3), codec="mjpeg", pixel_format="yuvj420p")
    with av.open(str(path)) as container:
        stored = [int(frame.to_ndarray()[24, 32]) for frame in container.decode(video=0)]
    read = [int(frame[24, 32, 0]) for frame in read_frames(path)]
    assert read == pytest.approx(stored, abs=1)


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_tagged_full_range(clip: Callable[..., Path], codec: str) -> None:
    path = clip("a.mkv", level_frames(3), codec=codec, full_range=True)
    for number, frame in enumerate(read_frames(path)):
        assert np.abs(frame.astype(int) - 10 * (number + 1)).max() <= 2


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le"])
def test_grey(clip: Callable[..., Path], pixel_format: str) -> None:
    path = clip("a.mkv", level_frames(5), codec="ffv1", pixel_format=pixel_format)
    assert probe(path).pixel_format == pixel_format
    for number, frame in enumerate(read_frames(path)):
        assert np.abs(frame.astype(int) - 10 * (number + 1)).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mov", "qtrle", "argb"),
        ("a.mov", "png", "rgba"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
    ],
)
def test_alpha_is_laid_over_black(
    clip: Callable[..., Path], name: str, codec: str, pixel_format: str
) -> None:
    image = np.full((48, 64, 4), (200, 100, 50, 255), np.uint8)
    image[:, 32:, 3] = 128
    image[24:, 32:, 3] = 0
    path = clip(
        name, [image] * 2, codec=codec, pixel_format=pixel_format, source_format="rgba", options={}
    )
    for frame in read_frames(path):
        frame = frame.astype(int)
        assert frame[10, 10] == pytest.approx([200, 100, 50], abs=6)
        assert frame[10, 50] == pytest.approx([100, 50, 25], abs=6)
        assert frame[40, 50] == pytest.approx([0, 0, 0], abs=6)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("a" + suffix)
    image = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    av.VideoFrame.from_ndarray(image, format="rgb24").save(str(path))
    (frame,) = read_frames(path)
    assert np.abs(frame.astype(int) - image).max() <= 4


def test_grey_png(clip: Callable[..., Path]) -> None:
    path = clip("a.png", level_frames(1)[:1], codec="png", pixel_format="rgb24", options={})
    context = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "gray"  # type: ignore[attr-defined]
    grey = av.VideoFrame.from_ndarray(np.full((48, 64), 10, np.uint8), format="gray")
    packets = context.encode(grey) + context.encode(None)  # type: ignore[attr-defined]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    (frame,) = read_frames(path)
    assert np.unique(frame).tolist() == [10]
