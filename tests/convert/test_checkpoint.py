"""Whole checkpoints, both ways, in every layout and file format."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_files import (
    TEXT,
    TEXT_SIZES,
    Tensors,
    assert_same,
    checkpoint,
    of_torch,
    save,
    torch,
    whole,
)

from venhancer_jax.convert.__main__ import main
from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.catalog import Config
from venhancer_jax.weights import is_weights, iterate_weights, read_about, save_weights

UNET = UNet3DConfig.tiny(multipliers=(1, 2), attention_levels=(0,), blocks_per_level=1)
SVD = VAEConfig.tiny(channels=(8, 16), groups=4)
SD21 = dataclasses.replace(SVD, temporal_decoder=False)


@pytest.fixture(scope="module")
def text() -> Tensors:
    return checkpoint("text", TEXT, "open_clip")


@pytest.mark.parametrize(
    ("network", "config", "layout"),
    [
        ("venhancer", UNET, "venhancer"),
        ("vae", SVD, "svd"),
        ("vae", SD21, "diffusers"),
        ("vae", SD21, "diffusers_old"),
        ("vae", SD21, "original"),
        ("text", TEXT, "open_clip"),
        ("text", TEXT.only_used(), "open_clip"),
        ("text", TEXT, "transformers"),
        ("text", TEXT.only_used(), "transformers_bare"),
    ],
)
def test_every_layout_there_and_back(tmp_path: Path, network: str, config: Config, layout: str):
    tensors = checkpoint(network, config, layout)
    source = save(tensors, tmp_path / "source.pt")
    # The parts that are stored are found out, not told.
    asked = {"vae": SVD, "text": TEXT, "venhancer": UNET}[network]
    convert(network, source, tmp_path / "weights", config=asked)
    about = read_about(tmp_path / "weights")
    assert (about["network"], about["layout"]) == (network, layout)
    assert about["source"] == "source.pt"
    convert_back(tmp_path / "weights", tmp_path / "back.pt")
    assert_same(tmp_path / "back.pt", tensors)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_every_format_there_and_back(tmp_path: Path, dtype: str, suffix: str):
    from safetensors.torch import save_file

    tensors = checkpoint("text", TEXT, "open_clip", dtype)
    source, back = tmp_path / f"source{suffix}", tmp_path / "new" / f"back{suffix}"
    if suffix == ".pt":
        save(tensors, source)
    else:
        save_file(of_torch(tensors), source, metadata={"format": "pt"})
    convert("text", source, tmp_path / "weights", config=TEXT)
    assert {x.dtype for _, x in iterate_weights(tmp_path / "weights")} == {jnp.dtype(dtype)}
    convert_back(tmp_path / "weights", back)
    assert_same(back, tensors)
    assert os.listdir(back.parent) == [back.name]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_wrapped_and_legacy_files(tmp_path: Path, text: Tensors, wrapped: bool, legacy: bool):
    tensors = of_torch(text)
    content = {"epoch": 3, "state_dict": tensors} if wrapped else tensors
    path = tmp_path / "source.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert_same(path, text)


def test_a_large_file_is_opened_anew_while_it_is_read(
    tmp_path: Path, text: Tensors, monkeypatch: pytest.MonkeyPatch
):
    opened, load = [], torch.load

    def counted(path: Path, **options: Any) -> Any:
        opened.append(path)
        return load(path, **options)

    monkeypatch.setattr(torch, "load", counted)
    monkeypatch.setattr("venhancer_jax.convert.read.REOPEN_BYTES", 2000)
    assert_same(save(text, tmp_path / "source.pt"), text)
    # Every tensor is read twice above: for its type and for its numbers.
    held = 2 * sum(x.nbytes for x in text.values()) / 2000
    assert held / 2 < len(opened) <= held + 1


def test_parts_of_a_stable_diffusion_checkpoint(tmp_path: Path, text: Tensors):
    vae = checkpoint("vae", SD21, "original")
    both = {f"first_stage_model.{n}": x for n, x in vae.items()}
    both |= {f"cond_stage_model.model.{n}": x for n, x in text.items()}
    content = of_torch(both | {"model.diffusion_model.out.2.bias": np.ones(4, np.float32)})
    content["cond_stage_model.model.attn_mask"] = torch.ones(7, 7)
    content["model_ema.num_updates"] = torch.tensor(3)
    source = tmp_path / "sd.ckpt"
    torch.save({"global_step": 7, "state_dict": content}, source)
    for network, config, tensors in (("vae", SVD, vae), ("text", TEXT, text)):
        convert(network, source, tmp_path / network, config=config)
        convert_back(tmp_path / network, tmp_path / f"{network}.safetensors")
        assert_same(tmp_path / f"{network}.safetensors", tensors)


def test_another_layout_and_type(tmp_path: Path, text: Tensors):
    source = save(text, tmp_path / "source.pt")
    convert("text", source, tmp_path / "weights", config=TEXT, dtype="bfloat16")
    convert_back(tmp_path / "weights", tmp_path / "back.bin", layout="transformers")
    assert_same(tmp_path / "back.bin", checkpoint("text", TEXT, "transformers", "bfloat16"))


def test_tensors_of_other_networks_may_have_any_type(tmp_path: Path):
    tensors = checkpoint("text", TEXT, "transformers")
    content = of_torch(tensors)
    content["visual.positions"] = torch.arange(7)
    torch.save(content, tmp_path / "source.pt")
    convert("text", tmp_path / "source.pt", tmp_path / "weights", config=TEXT)
    convert_back(tmp_path / "weights", tmp_path / "back.pt")
    assert_same(tmp_path / "back.pt", tensors)


def test_all_that_does_not_fit_is_told_together(tmp_path: Path, text: Tensors):
    bad = dict(text) | {"surplus": np.ones((2, 3), np.float32)}
    del bad["ln_final.bias"], bad["transformer.resblocks.0.ln_1.bias"]
    bad["positional_embedding"] = bad["positional_embedding"].T.copy()
    with pytest.raises(InputError) as error:
        convert("text", save(bad, tmp_path / "bad.pt"), tmp_path / "weights", config=TEXT)
    message = str(error.value)
    assert "bad.pt: " in message
    assert "2 missing, 1 extra, 1 misshapen tensors" in message
    assert "missing ln_final.bias [8]" in message
    assert "missing transformer.resblocks.0.ln_1.bias [8]" in message
    assert "extra surplus [2, 3]" in message
    assert "misshapen positional_embedding: expected [7, 8], found [8, 7]" in message
    assert os.listdir(tmp_path) == ["bad.pt"]


def test_long_lists_are_cut(tmp_path: Path, text: Tensors):
    many = text | {f"surplus{i}": np.ones(1, np.float32) for i in range(25)}
    with pytest.raises(InputError, match="0 missing, 25 extra, 0 misshapen") as error:
        convert("text", save(many, tmp_path / "bad.pt"), tmp_path / "weights", config=TEXT)
    assert str(error.value).endswith("and 5 more")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "float8_e4m3fn"])
def test_tensors_that_are_no_floats_are_refused(tmp_path: Path, suffix: str, dtype: str):
    from safetensors.torch import save_file

    tensors = of_torch(checkpoint("text", TEXT, "open_clip"))
    tensors["ln_final.bias"] = tensors["ln_final.bias"].to(getattr(torch, dtype))
    source = tmp_path / f"source{suffix}"
    (torch.save if suffix == ".pt" else save_file)(tensors, source)
    with pytest.raises(InputError, match=r"ln_final.bias has the type .*, expected a floating"):
        convert("text", source, tmp_path / "weights", config=TEXT)
    assert os.listdir(tmp_path) == [source.name]


def test_pytorch_files_need_pytorch(tmp_path: Path, text: Tensors, monkeypatch: pytest.MonkeyPatch):
    source = save(text, tmp_path / "source.pt")
    whole(tmp_path / "source.safetensors", text)
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'venhancer-jax\[convert\]'"):
        open_state_dict(source)
    assert_same(tmp_path / "source.safetensors", text)


def test_foreign_folders_are_not_replaced(tmp_path: Path, text: Tensors):
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="mine exists and holds no weights"):
        convert("text", save(text, tmp_path / "source.pt"), tmp_path / "mine", config=TEXT)
    assert os.listdir(tmp_path / "mine") == []


@pytest.fixture
def folder(tmp_path: Path, text: Tensors) -> Path:
    source = save(text, tmp_path / "source.pt")
    convert("text", source, tmp_path / "weights", config=TEXT)
    return tmp_path / "weights"


def test_back_to_what_is_not_there(tmp_path: Path, folder: Path):
    with pytest.raises(InputError, match=r"back.onnx: expected a name that ends in .pt"):
        convert_back(folder, tmp_path / "back.onnx")
    with pytest.raises(InputError, match="layout 'svd': expected one of open_clip, transformers"):
        convert_back(folder, tmp_path / "back.pt", layout="svd")
    with pytest.raises(InputError, match="other holds no converted weights"):
        convert_back(tmp_path / "other", tmp_path / "back.pt")
    assert sorted(os.listdir(tmp_path)) == ["source.pt", "weights"]


def test_trained_weights_take_the_only_layout_or_the_one_that_is_named(tmp_path: Path):
    for network, config in (("raft", RaftConfig.tiny()), ("text", TEXT)):
        shapes = catalog.build(network, config).shapes
        params = ((name, np.zeros(spec.shape, np.float32)) for name, spec in shapes.items())
        about = {"network": network, "config": catalog.config_to_dict(config)}
        save_weights(tmp_path / network, params, about)

    convert_back(tmp_path / "raft", tmp_path / "back.pt")
    assert "fnet.conv1.weight" in open_state_dict(tmp_path / "back.pt").shapes
    with pytest.raises(InputError, match="set --layout to one of open_clip, transformers"):
        convert_back(tmp_path / "text", tmp_path / "text.pt")
    convert_back(tmp_path / "text", tmp_path / "text.pt", layout="open_clip")


def test_a_failure_on_the_way_back_leaves_the_old_file(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "back.pt").write_text("old")

    def fail(tensors: Any, path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        convert_back(folder, tmp_path / "back.pt")
    assert (tmp_path / "back.pt").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["back.pt", "source.pt", "weights"]


def sizes(config: ClipTextConfig) -> list[str]:
    return [f"--size={name}={getattr(config, name)}" for name in TEXT_SIZES]


def test_command_line_there_and_back(
    tmp_path: Path, text: Tensors, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    save(text, Path("source.pt"))
    assert main(["text", "source.pt", "out/weights", "--dtype=float16", *sizes(TEXT)]) == 0
    assert main(["back", "out/weights", "out/back.pt", "--layout=transformers_bare"]) == 0
    expected = checkpoint("text", TEXT, "transformers_bare", "float16")
    assert_same(tmp_path / "out" / "back.pt", expected)
    captured = capsys.readouterr()
    assert captured.out == "wrote out/weights\nwrote out/back.pt\n"
    assert captured.err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["text", "source.pt", "new"], "error: source.pt: the checkpoint does not fit"),
        (["vae", "missing.pt", "new"], "error: checkpoint 'missing.pt': no such file"),
        (["text", "source.pt", "."], "error: . exists and holds no weights"),
        (["back", "new", "back.pt"], "error: new holds no converted weights"),
        (["text", "source.pt", "new", "--size=depth=3"], "error: --size depth=3: a text has no"),
        (["text", "source.pt", "new", "--size=dtype=3"], "error: --size dtype=3: a text has no"),
        (["text", "source.pt", "new", "--size=width=a b"], "error: --size width=a b: 'a b' is no"),
    ],
)
def test_command_line_tells_wrong_input(
    tmp_path: Path,
    text: Tensors,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    save(text, Path("source.pt"))
    arguments = [*arguments, *sizes(TEXT)] if "." in arguments else arguments
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert not is_weights(tmp_path / "new")
    assert os.listdir(tmp_path) == ["source.pt"]
