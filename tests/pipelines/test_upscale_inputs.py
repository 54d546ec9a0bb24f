"""Wrong input of `sample.py --config=upscale_a_video`: one line, exit code 2, nothing written."""

import json
from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from video.video_clips import make_video

from venhancer_jax.cli import sample
from venhancer_jax.startup import CACHE_VARIABLE

COMMAND = ["--config=upscale_a_video", "--config.input=in.mp4", "--config.output=out.mp4"]
SCHEDULER = "full/scheduler/scheduler_config.json"


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes a clip, captions, and checkpoint folders whose files are never opened."""
    folder = tmp_path_factory.mktemp("wrong")
    make_video(folder / "in.mp4", clip(3, 32, 48))
    (folder / "three.txt").write_text("a cat\na dog\na fox\n")
    (folder / "none.txt").write_text("\n")
    parts = ("unet/unet_video.bin", "vae/vae_3d.bin", "text_encoder/model.safetensors")
    for name, lacks in (("full", ""), ("no_vae", parts[1]), ("no_text", parts[2])):
        for path in (folder / name / part for part in parts if part != lacks):
            path.parent.mkdir(parents=True)
            path.write_text("no weights")
    (folder / SCHEDULER).parent.mkdir()
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder / "cache"))
    Path(SCHEDULER).unlink(missing_ok=True)


def error(capsys: pytest.CaptureFixture, *settings: str) -> str:
    before = set(Path().rglob("*"))
    assert sample.main([*COMMAND, *(f"--config.{each}" for each in settings)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1, printed
    assert {p for p in set(Path().rglob("*")) - before if "cache" not in p.parts} == set()
    return printed


WRONG = [
    ("", "published on Google Drive only, under a licence for non-commercial use"),
    ("preset=debug", "preset 'debug' has sizes but no weights"),
    ("checkpoint=gone", "checkpoint 'gone': no such folder; expected the folder with unet/"),
    ("checkpoint=no_vae", "no_vae: no weights of vae (vae/vae_3d.bin). Complete the folder"),
    ("checkpoint=no_text", "no weights of text (text_encoder/model.safetensors)"),
    ("checkpoint=full --config.video_vae=True", "no weights of vae (vae/vae_video.bin)"),
    ("checkpoint=full", "unet_video.bin is"),
    ("prompt_file=three.txt", "three.txt: 3 prompts, number of videos: 1. Give one line per video"),
    ("prompt_file=none.txt", "none.txt: 0 prompts, but in.mp4 is video number 1"),
    ("noise_level=351", "noise_level 351: expected a whole number from 0 to 350"),
    ("propagation_steps=29,30", "propagation_steps 30: expected indices from 0 to 29"),
    ("compat=official --config.up_scale=2", "up_scale 2: compat 'official' enlarges exactly 4"),
    (
        "compat=official --config.propagation_steps=3",
        "frames of 32x48 (height x width), of which compat 'official' computes no optical flow",
    ),
    ("compat=official --config.tile=64", "expected more than 64 pixels on both sides with tiles"),
    ("noise_aug=3", "config.noise_aug: an option of system 'venhancer'"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=[each[0] for each in WRONG])
def test_wrong_input(settings: str, message: str, capsys: pytest.CaptureFixture):
    chosen = settings.replace("--config.", "").split()
    assert message in error(capsys, *chosen)


@pytest.mark.parametrize(
    ("key", "value"),
    [("beta_schedule", "linear"), ("prediction_type", "epsilon"), ("steps_offset", -1)],
)
def test_schedulers_with_other_values(key: str, value: object, capsys: pytest.CaptureFixture):
    known = {
        "beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02,
        "clip_sample": False, "prediction_type": "v_prediction", "set_alpha_to_one": False,
        "steps_offset": 1, "num_train_timesteps": 1000,
    }  # fmt: skip
    Path(SCHEDULER).write_text(json.dumps(known | {key: value}))
    message = error(capsys, "checkpoint=full")
    assert key in message and json.dumps(value).strip('"') in message and "expected" in message
