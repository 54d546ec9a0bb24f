"""Videos and settings for the command line that enhances."""

from fractions import Fraction
from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from video.video_clips import make_video, tone

from venhancer_jax.cli.sample import main

PUBLISHED = "--config=venhancer"
# Instead of the demo's settings: the size and rate of the input, two steps from noise.
QUICK = [
    "--config.up_scale=1", "--config.fps_scale=1", "--config.interpolation=previous",
    "--config.solver_mode=normal", "--config.steps=2", "--config.noise_aug=200",
    "--config.noise_levels=900", "--config.start_noise=1", "--config.guidance_scale=7.5",
]  # fmt: skip


def video(name: str | Path, frames: int = 3, seconds: float = 0.3, **options) -> Path:
    """A video of 24x32 pixels with a tone."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    sounds = [tone(seconds)] if seconds else []
    chosen = {"rate": Fraction(10), "sounds": sounds} | options
    return make_video(path, clip(frames), **chosen)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too; locks hold nothing and stay."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def settings(**values) -> list[str]:
    return [f"--config.{key}={value}" for key, value in values.items()]


def refused(
    capsys: pytest.CaptureFixture, arguments: list[str], message: str, folder: Path
) -> None:
    """Exit code 2, one clear message, and nothing changed."""
    before = files(folder)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert printed.count("\n") < 25
    assert "Traceback" not in printed
    assert files(folder) == before
