"""An enhanced file keeps the depth, light and transparency of its input, or says what it lost."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.cli import sample
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import VideoWriter, probe, read_frames
from venhancer_jax.video.colour.picture_format import (
    BT2020,
    PQ,
    ContentLight,
    MasteringDisplay,
    PictureFormat,
)

CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.brightness = 0
    config.cuts = "none"
    return config.lock()
"""
HDR = PictureFormat(
    pixel_format="yuv420p10le",
    matrix=BT2020,
    primaries=BT2020,
    transfer=PQ,
    mastering_display=MasteringDisplay(
        primaries=((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
        white=(0.3127, 0.329),
        luminance=(0.005, 1000.0),
    ),
    content_light=ContentLight(max_cll=900, max_fall=250),
)


@pytest.fixture
def enhance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, str, dict[str, str]], int]:
    """Enhances a file by the toy, which leaves it as it is; returns the exit code."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    Path("toy.py").write_text(CONFIG)

    def run(source: str, target: str, settings: dict[str, str]) -> int:
        named = {"input": source, "output": target} | settings
        return sample.main(
            ["--config=toy.py", *(f"--config.{name}={value}" for name, value in named.items())]
        )

    return run


def waves(channels: int = 3) -> list[np.ndarray]:
    """Three frames, uint16 `[48, 64, C]`."""
    y, x = np.indices((48, 64))
    return [
        np.stack(
            [
                32768 + 20000 * np.sin((x + 2 * i) / (9 + c)) * np.cos(y / 8)
                for c in range(channels)
            ],
            axis=-1,
        ).astype(np.uint16)
        for i in range(3)
    ]


def write(path: str, frames: list[np.ndarray], picture: PictureFormat, codec: str) -> Path:
    settings = {"codec": codec, "picture": picture, "quality": 1.0}
    with VideoWriter(path, width=64, height=48, rate=Fraction(24), **settings) as writer:
        for frame in frames:
            writer.write(frame)
    return Path(path)


def psnr(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    error = np.mean((np.stack(found).astype(float) - np.stack(expected)) ** 2)
    return float(10 * np.log10(65535**2 / max(error, 1e-9)))


def test_high_dynamic_range(enhance: Callable, capsys: pytest.CaptureFixture[str]):
    source = write("in.mp4", waves(), HDR, "h265")
    stored = list(read_frames(source, deep=True))

    assert enhance("in.mp4", "out.mkv", {"codec": "h265", "quality": "1"}) == 0
    assert probe("out.mkv").picture == HDR
    assert psnr(list(read_frames("out.mkv", deep=True)), stored) > 44

    assert enhance("in.mp4", "eight.mp4", {"pixel_format": "yuv420p"}) == 2
    said = capsys.readouterr().err
    assert "cannot hold HDR" in said and "codec=h265" in said and "hdr=sdr" in said
    assert not Path("eight.mp4").exists()

    assert enhance("in.mp4", "sdr.mp4", {"hdr": "sdr"}) == 0
    assert probe("sdr.mp4").picture == PictureFormat(pixel_format="yuv420p10le")
    # PQ at half its codes is 92 candela, below reference white.
    assert 0.6 < np.stack(list(read_frames("sdr.mp4"))).mean() / 255 < 0.85
    assert "mapped to ordinary brightness" in capsys.readouterr().out


def test_transparency(enhance: Callable, capsys: pytest.CaptureFixture[str]):
    source = write("in.mov", waves(4), PictureFormat(pixel_format="yuva444p10le"), "prores")
    stored = list(read_frames(source, layers=True))
    assert stored[0].shape == (48, 64, 4)

    assert enhance("in.mov", "out.mkv", {"codec": "ffv1"}) == 0
    assert probe("out.mkv").pixel_format == probe(source).pixel_format == "yuva444p12le"
    assert psnr(list(read_frames("out.mkv", layers=True)), stored) > 60

    assert enhance("in.mov", "out.mp4", {}) == 0
    assert "transparency, which is laid over black" in capsys.readouterr().out
    shown, black = list(read_frames("out.mp4", deep=True)), list(read_frames(source, deep=True))
    assert psnr(shown, black) > 30


def test_linear_light_beyond_white(enhance: Callable):
    light = np.stack([frame / 6000 - 3 for frame in waves(3)]).astype(np.float32)
    exr = PictureFormat(pixel_format="gbrpf32le", matrix=0, full_range=True)
    write("in", list(light), exr, "exr")
    assert light.max() > 5 and light.min() < -0.01

    for name in ("float", "half"):
        settings = {"codec": "exr", "codec_options": f"format={name}"}
        assert enhance("in/000002.exr", name, settings) == 0
        (found,) = read_frames(f"{name}/000001.exr", layers=True)
        (stored,) = read_frames("in/000002.exr", layers=True)
        assert np.abs(found - stored).max() < 0.003


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codec_options": "crf=20:presett=slow"}, "presett=slow: libx264 has no option 'presett'"),
        ({"codec_options": "crf"}, "'crf' is not NAME=VALUE"),
        ({"pixel_format": "yuv420p9000"}, "yuv420p9000: h264 cannot store that.*yuv444p10le"),
    ],
)
def test_wrong_settings(
    enhance: Callable, settings: dict, message: str, capsys: pytest.CaptureFixture[str]
):
    write("in.mkv", waves()[:1], PictureFormat(), "ffv1")
    assert enhance("in.mkv", "out.mp4", settings) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not Path("out.mp4").exists()


def test_options_reach_the_encoder(enhance: Callable):
    write("in.mkv", waves(), PictureFormat(), "ffv1")
    sizes = []
    for crf in ("5", "45"):
        assert enhance("in.mkv", f"{crf}.mp4", {"codec_options": f"crf={crf}:preset=fast"}) == 0
        sizes.append(Path(f"{crf}.mp4").stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]
