"""Still pictures and folders of numbered ones are videos."""

import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from video.video_clips import level_frames, make_video, number_of

from venhancer_jax.errors import InputError
from venhancer_jax.video import list_inputs, probe, read_frames
from venhancer_jax.video.reading.stills import number_pictures

CODECS = {
    ".png": ("png", "rgb24"),
    ".tif": ("tiff", "rgb24"),
    ".exr": ("exr", "gbrpf32le"),
    ".webp": ("libwebp", "bgra"),
    ".bmp": ("bmp", "bgr24"),
}


def _save(path: Path, image: np.ndarray) -> Path:
    codec, pixel_format = CODECS[path.suffix]
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = pixel_format, Fraction(1, 25)
    encoder.options = {"lossless": "1"} if codec == "libwebp" else {}
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
    packets = encoder.encode(frame) + encoder.encode(None)
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


def _folder(path: Path, numbers: list[int], name: str = "f{:04d}.png") -> Path:
    path.mkdir()
    for number, image in zip(numbers, level_frames(len(numbers)), strict=True):
        _save(path / name.format(number), image)
    return path


def _read(path: Path, **options: object) -> list[int]:
    frames = read_frames(path, as_stored=True, **options)  # type: ignore[arg-type]
    return [number_of(frame) for frame in frames]


@pytest.mark.parametrize("suffix", CODECS)
def test_formats(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    path = _save(tmp_path / ("a" + suffix), image)
    info = probe(path, picture_rate=Fraction(30000, 1001))
    assert (info.frames, info.times.rate) == (1, Fraction(30000, 1001))
    (frame,) = read_frames(info)
    if suffix == ".exr":  # whose samples are linear
        image = np.rint(255 * (1.055 * np.maximum(image / 255, 0.0031308) ** (1 / 2.4) - 0.055))
        assert np.abs(frame - image)[image > 12].max() <= 2
        return
    np.testing.assert_array_equal(frame, image)


@pytest.mark.parametrize("name", ["{:04d}.png", "shot 2 v{:d} take7.png", "a.{:03d}.tif"])
def test_numbered_pictures_are_one_clip(tmp_path: Path, name: str) -> None:
    folder = _folder(tmp_path / "clip", list(range(8, 13)), name)
    (folder / "notes.txt").touch()
    assert list_inputs(folder) == [folder]
    info = probe(folder, picture_rate=Fraction(24000, 1001))
    assert (info.path, info.width, info.height, info.damage) == (folder, 64, 48, "")
    assert info.times.rate == info.rate == Fraction(24000, 1001)
    assert info.times.duration == info.duration == 5 / Fraction(24000, 1001)
    assert _read(folder) == [0, 1, 2, 3, 4]
    assert [number_of(frame) for frame in read_frames(folder)] == [0, 1, 2, 3, 4]
    assert _read(folder, start_time=0.1, max_frames=2) == [2, 3]


@pytest.mark.parametrize(
    "names",
    [
        ["cat.png", "dog.png"],
        ["a1.png", "b2.png"],
        ["a1b1.png", "a2b2.png"],
        ["a1.png", "a2.jpg"],
        ["a1.png", "a01.png"],
        ["a0.png", "a2.png", "a5.png"],
        ["IMG_0412.png", "IMG_0413.png", "IMG_0440.png"],
        ["only.png"],
        ["0001.png"],
    ],
)
def test_other_pictures_are_a_clip_each(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert list_inputs(tmp_path) == [tmp_path / name for name in sorted(names)]


def test_a_folder_of_videos_stays_one(tmp_path: Path) -> None:
    for name in ["b.mp4", "a.mkv", "1.png", "2.png"]:
        (tmp_path / name).touch()
    assert list_inputs(tmp_path) == [tmp_path / "a.mkv", tmp_path / "b.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no video"):
        list_inputs(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder"):
        list_inputs(tmp_path / "missing")
    with pytest.raises(InputError, match="is a folder"):
        probe(tmp_path / "empty")


def test_every_second_number() -> None:
    paths = [Path(f"f{number}.png") for number in (10, 12, 8, 6)]
    assert number_pictures(paths) == tuple(Path(f"f{number}.png") for number in (6, 8, 10, 12))


def test_a_missing_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = _folder(tmp_path / "clip", [1, 2, 3, 5])
    assert len(probe(folder).times) == 5
    with pytest.raises(InputError, match=r"1 of 5 numbered .* after f0003.png.*allow_damaged"):
        read_frames(folder, as_stored=True)
    with caplog.at_level(logging.WARNING):
        assert _read(folder, allow_damaged=True) == [0, 1, 2, 2, 3]
    assert "1 damaged or missing frames were repeated" in caplog.text


@pytest.mark.parametrize("start", [0.0, 2 / 24])
def test_a_damaged_picture(tmp_path: Path, start: float) -> None:
    folder = _folder(tmp_path / "clip", [1, 2, 3, 4, 5])
    (folder / "f0004.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"in f0004.png .*; 3 of 5 frames"):
        _read(folder, start_time=start)
    assert _read(folder, start_time=start, allow_damaged=True)[-3:] == [2, 2, 4]


@pytest.mark.parametrize("start", [0.0, 3 / 24])
def test_pictures_of_two_sizes(tmp_path: Path, start: float) -> None:
    folder = _folder(tmp_path / "clip", [1, 2, 3, 4])
    for name in ("f0003.png", "f0004.png"):
        _save(folder / name, level_frames(1, width=32)[0])
    with pytest.raises(InputError, match=r"f000[34].png: 32x48 pixels, where the first .* 64x48"):
        _read(folder, start_time=start)


def test_interlaced_pictures_see_their_neighbours(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), np.uint8)
    (tmp_path / "clip").mkdir()
    for number, image in enumerate(images):
        _save(tmp_path / "clip" / f"{number}.png", image)
    video = make_video(
        tmp_path / "a.mov", list(images), codec="png", pixel_format="rgb24", options={}
    )
    infos = [probe(path, deinterlace="on") for path in (tmp_path / "clip", video)]
    for start in (0, 2 / 24):
        folder, file = (list(read_frames(info, start_time=start, as_stored=True)) for info in infos)
        np.testing.assert_array_equal(folder, file)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda image: image),
        (2, lambda image: image[:, ::-1]),
        (3, lambda image: image[::-1, ::-1]),
        (6, lambda image: np.rot90(image, -1)),
        (8, lambda image: np.rot90(image)),
    ],
)
def test_photographs_with_exif(
    tmp_path: Path, quadrants: np.ndarray, orientation: int, upright: object
) -> None:
    path = tmp_path / "a.jpg"
    av.VideoFrame.from_ndarray(quadrants, format="rgb24").save(str(path))
    entry = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entry
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    (frame,) = read_frames(path)
    expected = upright(quadrants)  # type: ignore[operator]
    assert frame.shape == expected.shape
    assert np.median(np.abs(frame.astype(int) - expected)) <= 4
