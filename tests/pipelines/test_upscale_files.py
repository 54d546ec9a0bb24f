"""Upscale-A-Video from folders of weights, by the command line."""

from pathlib import Path

import numpy as np
import pytest
from cv2 import imread
from pipelines.tiny_system import clip
from pipelines.tiny_upscaler import CONFIGS, tiny_upscaler
from video.video_clips import make_video

from venhancer_jax import weights
from venhancer_jax.cli import sample
from venhancer_jax.pipelines import catalog, programs
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import probe, read_frames

PARTS = {
    "unet": "upscale_a_video",
    "vae_video": "vae",
    "text_encoder": "text",
    "propagator": "raft",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes the networks as a folder of converted weights, like the published one."""
    folder = tmp_path_factory.mktemp("checkpoint")
    system = tiny_upscaler()
    loaded = {
        "upscale_a_video": system.denoiser,
        "vae": system.vae,
        "text": system.text.load(),
        "raft": system.raft,
    }
    for part, role in PARTS.items():
        about = {"network": role, "config": catalog.config_to_dict(CONFIGS[role])}
        weights.save_weights(folder / part, loaded[role].params.items(), about)
    return folder


def test_files_in_files_out(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """By the command line; in place of the networks the input is enlarged."""
    monkeypatch.setattr(programs, "denoise", lambda *args: (args[3], programs.StepCache()))
    monkeypatch.setattr(programs, "decode", lambda *args: args[3].repeat(4, 2).repeat(4, 3))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    make_video(Path("in.mp4"), clip(5, 16, 24))
    png = [*command(checkpoint), "--config.output=out", "--config.codec=png"]
    assert sample.main(png) == 0
    found = [imread(str(path))[..., ::-1] for path in sorted(Path("out").iterdir())]
    source = np.stack([*read_frames(probe(Path("in.mp4")))])
    np.testing.assert_array_equal(found, source.repeat(4, 1).repeat(4, 2))


def test_loaded_networks_are_those_that_were_saved(checkpoint: Path):
    config, _ = sample.parse_sample_config(command(checkpoint))
    loaded, system = sample.load_system(config), tiny_upscaler()
    for ours, theirs in (
        (loaded.denoiser, system.denoiser),
        (loaded.vae, system.vae),
        (loaded.raft, system.raft),
        (loaded.text.load(), system.text.load()),
    ):
        assert ours.params.keys() == theirs.params.keys()
        assert all(np.array_equal(ours.params[name], x) for name, x in theirs.params.items())


def command(checkpoint: Path) -> list[str]:
    return [
        "--config=upscale_a_video", f"--config.checkpoint={checkpoint}", "--config.input=in.mp4",
        "--config.video_vae=True", "--config.steps=2", "--config.flow=dis",
    ]  # fmt: skip
