"""Pictures keep their depth, chroma, range and colours from file to array to file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from venhancer_jax.video import VideoWriter, probe, read_frames
from venhancer_jax.video.encoded_picture import to_picture
from venhancer_jax.video.output_format import losses, output_format
from venhancer_jax.video.picture import PictureConverter
from venhancer_jax.video.picture_format import PictureFormat

DEEP = PictureFormat(pixel_format="yuv420p10le")
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

    found = [np.frombuffer(plane, np.uint16)[0] for plane in frame.planes]
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
    assert (info.pixel_format, info.bits) == (pixel_format, source.bits)
    found = [frame for file in files for frame in read_frames(file, deep=True)]
    assert len(found) == 3 and found[0].dtype == np.uint16
    assert psnr(np.stack(found), np.stack(smooth())) > least
    assert next(read_frames(files[0])).dtype == np.uint8
