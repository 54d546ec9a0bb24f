"""Pictures keep their depth, chroma, range and colours from file to array to file."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, VideoReformatter

from venhancer_jax.errors import InputError
from venhancer_jax.video import VideoWriter, probe, read_frames
from venhancer_jax.video.colour.encoded_picture import to_picture
from venhancer_jax.video.colour.output_format import losses, output_format
from venhancer_jax.video.colour.picture_format import PictureFormat, source_format
from venhancer_jax.video.reading.picture import PictureConverter
from venhancer_jax.video.writing.encoding import Encoding
from venhancer_jax.video.writing.segment_file import SegmentFile, count_pictures

# Weights of red and blue in luma.
WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def smooth(count: int = 3, channels: int = 3) -> list[np.ndarray]:
    """Waves that move, uint16 `[48, 64, C]`, of more than 256 levels."""
    y, x = np.indices((48, 64))
    waves = [
        np.stack([np.sin((x + 3 * i) / (9 + c)) * np.cos(y / (7 + c)) for c in range(channels)], -1)
        for i in range(count)
    ]
    return [np.rint(32768 + 26000 * wave).astype(np.uint16) for wave in waves]


def write(path: Path, frames: list[np.ndarray], **settings) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, rate=Fraction(24), **settings) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    white = np.iinfo(expected.dtype).max
    error = np.mean((found.astype(float) - expected) ** 2)
    return float(10 * np.log10(white**2 / max(error, 1e-9)))


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["yuv444p10le", "yuv420p12le", "yuv422p16le"])
def test_samples_are_those_of_the_standard(matrix: int, full: bool, name: str):
    target = PictureFormat(pixel_format=name, matrix=matrix, full_range=full)
    colour = np.array([50000, 21000, 9000], np.uint16)
    red, blue = WEIGHTS[matrix]
    r, g, b = colour / 65535
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)
    last, unit = 2**target.bits - 1, 2 ** (target.bits - 8)
    expected = [luma * last if full else (16 + 219 * luma) * unit] + [
        2 ** (target.bits - 1) + c * (last if full else 224 * unit) for c in chroma
    ]

    image = np.broadcast_to(colour, (16, 32, 3))
    frame = to_picture(VideoReformatter(), image, target)

    found = [np.frombuffer(memoryview(plane), np.uint16)[0] for plane in frame.planes]
    assert found == pytest.approx(expected, abs=0.6)
    (back,) = [PictureConverter(frame, Fraction(1), deep=True).convert(frame)]
    assert np.abs(back.astype(int) - colour).max() < 1.7 * 2 ** (16 - target.bits)


@pytest.mark.parametrize(
    "name", ["gbrp10le", "gbrp16le", "yuva444p12le", "rgba64be", "gbrap10le", "yuva420p10le"]
)
def test_white_and_black_are_the_last_and_first_code(name: str):
    target = PictureFormat(pixel_format=name)
    channels = 4 if target.has_alpha else 3
    for level in (0, 65535):
        image = np.full((16, 32, channels), level, np.uint16)
        frame = to_picture(VideoReformatter(), image, target)
        back = PictureConverter(frame, Fraction(1), layers=True).convert(frame)
        assert back.dtype == np.uint16 and (back == level).all()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", ["gray10le", "gray12le", "gray16be", "ya16be", "ya16le"])
def test_grey_is_repeated(name: str, full: bool):
    layout = av.VideoFormat(name)
    bits, parts = layout.components[0].bits, len(layout.components)
    black, white = (0, 2**bits - 1) if full else (16 << (bits - 8), 235 << (bits - 8))
    stored = np.linspace(black, white, 48 * 64 * parts).astype(">u2" if "be" in name else "<u2")
    frame = av.VideoFrame(64, 48, name)
    (plane,) = frame.planes
    rows = np.zeros((plane.buffer_size // plane.line_size, plane.line_size // 2), stored.dtype)
    rows[:48, : 64 * parts] = stored.reshape(48, -1)
    plane.update(rows.tobytes())
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG

    found = PictureConverter(frame, Fraction(1), layers=True).convert(frame)

    assert found.shape == (48, 64, 4 if parts == 2 else 3)
    levels = (stored[::parts].reshape(48, 64) - float(black)) * 65535 / (white - black)
    assert np.abs(found[..., :3] - levels[..., None]).max() <= 0.51
    if parts == 2:
        assert (found[..., 3] == stored[1::2].reshape(48, 64)).all()


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "least"),
    [
        ("a.mp4", "h264", "yuv420p10le", 44),
        ("a.mp4", "h264", "yuv422p10le", 44),
        ("a.mp4", "h265", "yuv444p12le", 44),
        ("a.mp4", "h265", "gbrp10le", 44),
        ("a.mp4", "av1", "yuv420p10le", 44),
        ("a.mov", "prores", "yuv422p10le", 50),
        ("a.mov", "prores", "yuv444p10le", 50),
        ("a.mkv", "ffv1", "yuv420p10le", 50),
        ("a.mkv", "ffv1", "yuv444p16le", 85),
        ("a.mkv", "ffv1", "gbrp12le", 75),
        ("a", "png", "rgb48be", 140),
    ],
)
def test_depth_and_chroma_stay(
    tmp_path: Path, name: str, codec: str, pixel_format: str, least: float
):
    source = PictureFormat(pixel_format=pixel_format, matrix=0 if "rgb" in pixel_format else 1)
    picture = output_format(source, codec=codec, width=64, height=48)
    assert picture.pixel_format == pixel_format
    assert losses(source, picture, codec) == []
    path = write(tmp_path / name, smooth(), codec=codec, quality=1.0, picture=picture)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    info = probe(files[0])
    if (codec, source.chroma) == ("prores", "444"):  # which FFmpeg encodes in 10 bits of its 12
        source = PictureFormat(pixel_format="yuv444p12le")
    assert (info.pixel_format, info.bits) == (source.pixel_format, source.bits)
    found = [frame for file in files for frame in read_frames(file, deep=True)]
    assert len(found) == 3 and found[0].dtype == np.uint16
    assert psnr(np.stack(found), np.stack(smooth())) > least
    assert next(read_frames(files[0])).dtype == np.uint8


@pytest.mark.parametrize(
    ("tags", "full"),
    [
        ((1, 1, 1), False),
        ((1, 1, 1), True),
        ((6, 6, 6), False),
        ((5, 5, 6), True),
        ((9, 9, 14), False),
    ],
)
@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "h264"), ("a.mkv", "h264"), ("a.mp4", "h265"), ("a.webm", "av1")]
)
def test_what_is_read_is_written(
    tmp_path: Path, name: str, codec: str, tags: tuple[int, int, int], full: bool
):
    matrix, primaries, transfer = tags
    picture = PictureFormat(
        matrix=matrix, primaries=primaries, transfer=transfer, full_range=full,
        chroma_location="center" if full else "left",  # as players guess, of FFV1 too
    )  # fmt: skip
    frames = [np.rint(frame / 257).astype(np.uint8) for frame in smooth()]
    source = write(tmp_path / "in.mkv", frames, codec="ffv1", picture=picture)
    info = probe(source)
    assert info.picture == picture
    stored = np.stack(list(read_frames(source)))
    assert psnr(stored, np.stack(frames)) > 42

    kept = output_format(info.picture, codec=codec, width=64, height=48)
    copy = write(tmp_path / name, list(stored), codec=codec, picture=kept)
    found = probe(copy).picture
    # FFmpeg has names of their own for full range in H.264 and H.265.
    plain = found.pixel_format.replace("yuvj", "yuv")
    assert dataclasses.replace(found, pixel_format=plain) == picture
    assert psnr(np.stack(list(read_frames(copy))), stored) > 39


@pytest.mark.parametrize(
    ("tags", "rows", "expected"),
    [
        ((2, 2, 2), 48, (6, 6, 6, False)),
        ((2, 2, 2), 720, (1, 1, 1, False)),
        ((2, 9, 16), 48, (9, 9, 16, True)),
        ((9, 2, 2), 48, (9, 9, 14, True)),
        ((2, 5, 2), 720, (1, 5, 1, True)),
    ],
)
def test_what_is_not_tagged_is_guessed(
    tags: tuple[int, int, int], rows: int, expected: tuple[int, int, int, bool]
):
    frame = av.VideoFrame(64, rows, "yuv420p")
    frame.colorspace, frame.color_primaries, frame.color_trc = tags
    found = source_format(frame)
    assert (found.matrix, found.primaries, found.transfer, found.tagged) == expected


@pytest.mark.parametrize("codec", ["ffv1", "exr", "png"])
def test_a_segment_that_is_cut_short_is_known(tmp_path: Path, codec: str):
    encoding = Encoding(
        codec=codec, quality=1, width=64, height=48, time_base=Fraction(1, 24), rate=Fraction(24)
    )
    path = tmp_path / "segment"
    with SegmentFile(path, encoding) as segment:
        for tick, frame in enumerate(smooth()):
            segment.write(frame.astype(np.float32) if codec == "exr" else frame, tick)
    assert count_pictures(path) == 3
    last = sorted(path.iterdir())[-1] if path.is_dir() else path
    data = last.read_bytes()
    for length in (0, 3, 200, len(data) - 1):
        last.write_bytes(data[:length])
        with pytest.raises(InputError, match="cut short"):
            count_pictures(path)


def test_floats_are_read_as_srgb_unless_layers_are(tmp_path: Path):
    light = np.full((48, 64, 3), (0.5, 2.0, -0.1), np.float32)
    folder = write(tmp_path / "a", [light], codec="exr")
    path = folder / "000001.exr"
    assert probe(path).picture.is_float
    assert next(read_frames(path))[0, 0].tolist() == [188, 255, 0]
    assert next(read_frames(path, deep=True))[0, 0] == pytest.approx([48196, 65535, 0], abs=20)
    assert next(read_frames(path, layers=True))[0, 0] == pytest.approx([0.5, 2, -0.1], abs=1e-3)


@pytest.mark.parametrize("quality", [0.0, 0.3, 0.75, 1.0])
def test_quality_of_prores_is_its_profile(tmp_path: Path, quality: float):
    path = write(tmp_path / "a.mov", smooth(1), codec="prores", quality=quality)
    with av.open(str(path)) as container:
        tag = container.streams.video[0].codec_context.codec_tag
    assert tag == {0.0: "apco", 0.3: "apcs", 0.75: "apch", 1.0: "apch"}[quality]


def test_an_unknown_option_is_refused(tmp_path: Path):
    for name, codec in [("a.mp4", "h265"), ("a", "exr")]:
        with pytest.raises(InputError, match=r"speedy=1: \w+ has no option 'speedy'"):
            write(tmp_path / name, smooth(1), codec=codec, options={"speedy": "1"})
    with pytest.raises(InputError, match="cannot write h265"):
        write(tmp_path / "a.mp4", smooth(1), codec="h265", options={"preset": "none such"})
    assert list(tmp_path.iterdir()) == []
