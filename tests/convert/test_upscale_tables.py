"""The rule tables of the UNet: published names, diffusers' names, there and back."""

import dataclasses
import functools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from venhancer_jax.convert import rules
from venhancer_jax.convert import upscale_a_video as tables
from venhancer_jax.convert.checkpoint import convert, convert_back
from venhancer_jax.convert.layouts import layout_constants, layout_entries
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.errors import InputError
from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.weights import read_about

PUBLISHED, STOCK = UpscaleUNetConfig.upscale_a_video(), UpscaleUNetConfig.x4_upscaler()
SMALL = UpscaleUNetConfig.tiny()
SMALL_STOCK = UpscaleUNetConfig.tiny(temporal=False)
FREQUENCIES = "mid_block.attentions.0.transformer_blocks.0.attn_temporal.rotary_emb.freqs"


@functools.cache
def rules_of(config: UpscaleUNetConfig) -> tuple[list[rules.Entry], dict[str, Any]]:
    layout = ("upscale_a_video", config, "video" if config.temporal else "image")
    return layout_entries(*layout), layout_constants(*layout)


def shapes_of(config: UpscaleUNetConfig) -> dict[str, tuple[int, ...]]:
    entries, constants = rules_of(config)
    shapes = {name: entry.their_shape for entry in entries for name in entry.theirs}
    return shapes | {name: constant.value.shape for name, constant in constants.items()}


def tensors_of(config: UpscaleUNetConfig) -> dict[str, np.ndarray]:
    """A state dict of random numbers."""
    entries, constants = rules_of(config)
    rng = np.random.default_rng(0)
    params = {e.ours: rng.standard_normal(e.shape, np.float32) for e in entries}
    return rules.to_torch(entries, params, constants=constants)


@pytest.mark.parametrize(
    ("config", "tensors", "constants", "checksum"),
    [
        (PUBLISHED, 1158, 17, 2_498_833_377),
        (STOCK, 687, 0, 3_190_982_659),
    ],
    ids=["video", "image"],
)
def test_names_and_shapes_are_the_published_ones(
    config: UpscaleUNetConfig, tensors: int, constants: int, checksum: int
):
    shapes = shapes_of(config)
    lines = "\n".join(sorted(f"{name} {list(shape)}" for name, shape in shapes.items()))

    assert (len(shapes), len(rules_of(config)[1])) == (tensors, constants)
    assert zlib.crc32(lines.encode()) == checksum


def test_names_of_stable_diffusion_are_those_of_diffusers():
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    config = UpscaleUNetConfig.sd21()
    with torch.device("meta"):
        reference = diffusers.UNet2DConditionModel(
            block_out_channels=config.channels,
            attention_head_dim=config.heads,
            cross_attention_dim=config.context_width,
            use_linear_projection=True,
        )

    assert shapes_of(config) == {n: tuple(x.shape) for n, x in reference.state_dict().items()}


@pytest.mark.parametrize("config", [SMALL, SMALL_STOCK], ids=["video", "image"])
def test_there_and_back(tmp_path: Path, config: UpscaleUNetConfig):
    torch = pytest.importorskip("torch")
    tensors = tensors_of(config)
    torch.save({n: torch.from_numpy(x.copy()) for n, x in tensors.items()}, tmp_path / "unet.bin")

    convert("upscale_a_video", tmp_path / "unet.bin", tmp_path / "weights", config=SMALL)
    convert_back(tmp_path / "weights", tmp_path / "back.bin")

    about = read_about(tmp_path / "weights")
    assert about["layout"] == ("video" if config.temporal else "image")
    assert catalog.config_from_dict("upscale_a_video", about["config"]) == config
    back = open_state_dict(tmp_path / "back.bin")
    assert set(back) == set(tensors)
    assert all(back[name].tobytes() == x.tobytes() for name, x in tensors.items())


def test_other_frequencies_are_refused():
    entries, constants = rules_of(SMALL)
    tensors = tensors_of(SMALL)
    tensors[FREQUENCIES] = 2 * tensors[FREQUENCIES]

    with pytest.raises(InputError, match=r"rotary_emb.freqs is a constant of the network"):
        rules.from_torch(entries, tensors, constants=constants)


def test_parts_are_found_by_their_names():
    sd21 = UpscaleUNetConfig.sd21()

    assert tables.detect(PUBLISHED, shapes_of(PUBLISHED)) == (PUBLISHED, "video")
    assert tables.detect(PUBLISHED, shapes_of(STOCK)) == (STOCK, "image")
    assert tables.detect(PUBLISHED, shapes_of(sd21)) == (sd21, "image")
    assert tables.detect(SMALL, shapes_of(SMALL_STOCK)) == (SMALL_STOCK, "image")
    unlabelled = dataclasses.replace(SMALL_STOCK, labels=0)
    assert tables.detect(SMALL, shapes_of(unlabelled)) == (unlabelled, "image")


def test_another_network_is_refused():
    with pytest.raises(InputError, match=r"no UNet of diffusers: expected conv_in.weight .* found"):
        tables.detect(PUBLISHED, ["encoder.conv_in.weight", "decoder.conv_in.weight"])
