"""Published folders of several networks, and how their files are recognised."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from venhancer_jax.convert import fetch
from venhancer_jax.convert.__main__ import main
from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.fetch import convert_release
from venhancer_jax.convert.layouts import (
    all_layouts,
    layout_constants,
    layout_entries,
    most_alike,
)
from venhancer_jax.convert.parity.__main__ import replay
from venhancer_jax.convert.parity.recording import find
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.convert.release import Part, Release, all_releases
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.weights import read_about

GOLDENS = Path(__file__).parents[1] / "goldens" / "upscale_a_video"
TINY_VAE = VAEConfig.x4_image(channels=(8, 8, 16), groups=4, blocks_per_level=1)
TEXT = ClipTextConfig.x4_upscaler(vocabulary=11, length=7, width=8, heads=2, mlp_width=16, layers=3)
RELEASE = Release(
    parts=(
        Part(
            network="vae",
            paths=("vae/vae_3d.bin", "vae"),
            layout="diffusers_old",
            config=TINY_VAE,
        ),
        Part(
            network="vae",
            paths=("vae/vae_video.bin", "vae_video"),
            layout="diffusers_old",
            config=dataclasses.replace(TINY_VAE, condition_channels=8),
            optional=True,
        ),
        Part(
            network="text",
            paths=(
                "text_encoder/model.safetensors",
                "text_encoder/pytorch_model.bin",
                "text_encoder",
            ),
            layout="transformers",
            config=TEXT,
        ),
    ),
    settings=("scheduler/scheduler_config.json",),
)


def write(part: Part, path: Path, *, wrapper: str = "") -> Path:
    """A checkpoint as it is published: a flat pickle, with the constants of PyTorch."""
    rng = np.random.default_rng(0)
    tensors = {
        wrapper + name: torch.from_numpy(rng.standard_normal(entry.their_shape, dtype=np.float32))
        for entry in layout_entries(part.network, part.config, part.layout)
        for name in entry.theirs
    }
    for name, constant in layout_constants(part.network, part.config, part.layout).items():
        tensors[wrapper + name] = torch.from_numpy(constant.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The published folder, small."""
    for part in RELEASE.parts:
        write(part, tmp_path / "released" / part.files[-1])
    (tmp_path / "released/tokenizer").mkdir()
    tokens = {"pad_token": "!", "eos_token": {"content": "<|endoftext|>"}}
    (tmp_path / "released/tokenizer/special_tokens_map.json").write_text(json.dumps(tokens))
    (tmp_path / "released/scheduler").mkdir()
    (tmp_path / "released/scheduler/scheduler_config.json").write_text("{}")
    return tmp_path / "released"


def test_a_folder_is_converted_as_one_and_back(tmp_path: Path, folder: Path):
    convert_release(RELEASE, folder, tmp_path / "weights")
    for part in RELEASE.parts:
        back = tmp_path / "back.bin"
        convert_back(tmp_path / "weights" / part.folder, back)
        source, result = (open_state_dict(p) for p in (folder / part.files[-1], back))
        assert source.shapes == result.shapes
        assert all(source[name].tobytes() == result[name].tobytes() for name in source)
    assert (tmp_path / "weights/scheduler/scheduler_config.json").read_text() == "{}"
    text = read_about(tmp_path / "weights/text_encoder")
    assert text["config"]["pad_token"] == "!"
    assert text["config"]["mlp_width"] == 16


def test_a_changed_tokenizer_is_another_conversion(folder: Path):
    file = fetch.resolve(str(folder / "text_encoder/pytorch_model.bin"))
    before = fetch._cache_folder_of("text", file)
    map_file = folder / "tokenizer/special_tokens_map.json"
    map_file.write_text('{"pad_token": {"content": "<|endoftext|>"}}')
    assert fetch._cache_folder_of("text", file) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "expected JSON"), ('{"a": 1}', "a pad_token"), ('{"pad_token": "[PAD]"}', r"'\[PAD\]'")],
)
def test_a_wrong_tokenizer_is_refused(tmp_path: Path, folder: Path, content: str, message: str):
    (folder / "tokenizer/special_tokens_map.json").write_text(content)
    source = folder / "text_encoder/pytorch_model.bin"
    with pytest.raises(InputError, match=f"special_tokens_map.json.*{message}"):
        convert("text", source, tmp_path / "weights", config=TEXT)
    assert not (tmp_path / "weights").exists()


def test_missing_parts_are_named(tmp_path: Path, folder: Path):
    (folder / "vae/vae_3d.bin").unlink()
    (folder / "vae/vae_video.bin").unlink()
    (folder / "text_encoder/pytorch_model.bin").unlink()
    with pytest.raises(InputError) as error:
        convert_release(RELEASE, folder, tmp_path / "weights")
    assert "lacks vae: vae/vae_3d.bin; text: text_encoder/model.safetensors or" in str(error.value)
    assert "vae_video" not in str(error.value)
    assert not (tmp_path / "weights").exists()


def test_an_incomplete_folder_is_wrong_input(folder: Path, capsys: pytest.CaptureFixture):
    (system,) = (name for name, release in all_releases().items() if len(release.parts) > 1)
    assert main([system, str(folder), str(folder.parent / "weights")]) == 2
    assert "unet/unet_video.bin" in capsys.readouterr().err
    assert not (folder.parent / "weights").exists()


def test_a_file_of_another_network_is_recognised(tmp_path: Path, folder: Path):
    with pytest.raises(InputError, match="looks like a checkpoint of 'text'") as error:
        convert("vae", folder / "text_encoder/pytorch_model.bin", tmp_path / "weights")
    assert "pytorch_model.bin: " in str(error.value)
    with pytest.raises(InputError, match="looks like a checkpoint of 'vae', expected one of 'text"):
        convert("text", folder / "vae/vae_video.bin", tmp_path / "weights")
    assert most_alike(["a.weight", "b.bias"]) == ""


def test_a_data_parallel_wrapper_is_removed_and_restored(tmp_path: Path):
    part = RELEASE.parts[0]
    source = write(part, tmp_path / "source.pth", wrapper="module.")
    convert("vae", source, tmp_path / "weights", config=part.config)
    convert_back(tmp_path / "weights", tmp_path / "back.pth")
    first, second = open_state_dict(source), open_state_dict(tmp_path / "back.pth")
    assert first.shapes == second.shapes
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


@pytest.mark.parametrize(
    "config", [VAEConfig.x4_image(), VAEConfig.x4_video(), VAEConfig.svd(), VAEConfig.sd21()]
)
def test_the_published_vae_is_known_by_its_names(config: VAEConfig):
    layout = "svd" if config.temporal_decoder else "diffusers_old"
    names = [n for entry in layout_entries("vae", config, layout) for n in entry.theirs]
    assert all_layouts()["vae"].detect(VAEConfig(), names) == (config, layout)


def test_the_published_text_tower_has_a_tensor_for_each_of_373_names():
    config = ClipTextConfig.x4_upscaler()
    entries = layout_entries("text", config, "transformers")
    names = [name for entry in entries for name in entry.theirs]
    names += layout_constants("text", config, "transformers")
    assert len(names) == len(set(names)) == 373
    assert sum(np.prod(entry.shape) for entry in entries) == 340_387_840


def test_replays_the_recorded_text_tower():
    cases = replay(*find([str(GOLDENS / "clip_text_reduced.safetensors")]))
    assert cases
    assert all(case.passed for case in cases), cases
