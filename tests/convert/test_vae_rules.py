"""The rule tables of the VAE against the modules and the converters of diffusers."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from venhancer_jax.convert import rules, vae
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE
from venhancer_jax.models.functional import functionalize

SMALL = {"channels": (8, 16, 16, 24), "groups": 4}
SVD, SD21 = VAEConfig.svd(**SMALL), VAEConfig.sd21(**SMALL)
LAYOUTS = [
    pytest.param(vae.svd, SVD, id="svd"),
    pytest.param(vae.sd21, SD21, id="sd21"),
    pytest.param(vae.sd21_old, SD21, id="sd21_old"),
    pytest.param(vae.sd21_original, SD21, id="sd21_original"),
]


@pytest.mark.parametrize(
    ("table", "config", "tensors"),
    [
        (vae.svd, VAEConfig.svd(), 374),
        (vae.sd21, VAEConfig.sd21(), 248),
        (vae.sd21_old, VAEConfig.sd21(), 248),
        (vae.sd21_original, VAEConfig.sd21(), 248),
    ],
    ids=["svd", "sd21", "sd21_old", "sd21_original"],
)
def test_full_size_tables_name_every_tensor_once(table: Callable, config: VAEConfig, tensors: int):
    names = [name for entry in entries_of(table, config) for name in entry.theirs]
    assert len(names) == len(set(names)) == tensors


@pytest.mark.parametrize(
    ("table", "config"), [(vae.svd, VAEConfig.svd()), (vae.sd21, VAEConfig.sd21())]
)
def test_full_size_tables_fit_diffusers(table: Callable, config: VAEConfig):
    reference = diffusers_module(config)
    shapes = {name: tuple(x.shape) for name, x in reference.state_dict().items()}
    rules.check(entries_of(table, config), shapes)


def test_old_names_are_those_that_diffusers_renames():
    params = numbered(SD21)
    old = rules.to_torch(entries_of(vae.sd21_old, SD21), params)
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in old
    renamed = diffusers_module(SD21)._fix_state_dict_keys_on_load(old)
    assert_same(renamed, rules.to_torch(entries_of(vae.sd21, SD21), params))


def test_original_names_are_those_that_diffusers_converts():
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    params = numbered(SD21)
    original = rules.to_torch(entries_of(vae.sd21_original, SD21), params)
    blocks = {"down_block_types": [None] * 4, "up_block_types": [None] * 4}
    converted = utils.convert_ldm_vae_checkpoint(original, blocks)
    assert_same(converted, rules.to_torch(entries_of(vae.sd21, SD21), params))


@pytest.mark.parametrize(("table", "config"), LAYOUTS)
def test_round_trip_is_bit_equal(table: Callable, config: VAEConfig):
    entries = entries_of(table, config)
    params = numbered(config)
    tensors = rules.to_torch(entries, params)
    assert_same(rules.from_torch(entries, tensors), params)
    assert_same(rules.to_torch(entries, rules.from_torch(entries, tensors)), tensors)


def test_another_layout_is_refused():
    tensors = rules.to_torch(entries_of(vae.sd21_original, SD21), numbered(SD21))
    with pytest.raises(InputError, match="236 missing, 236 extra, 0 misshapen"):
        rules.from_torch(entries_of(vae.sd21, SD21), tensors)


def diffusers_module(config: VAEConfig) -> Any:
    """The module of diffusers without memory for its weights."""
    diffusers, torch = pytest.importorskip("diffusers"), pytest.importorskip("torch")
    sizes = {
        "block_out_channels": config.channels,
        "layers_per_block": config.blocks_per_level,
        "down_block_types": ("DownEncoderBlock2D",) * len(config.channels),
    }
    with torch.device("meta"):
        if config.temporal_decoder:
            return diffusers.AutoencoderKLTemporalDecoder(**sizes)
        up = ("UpDecoderBlock2D",) * len(config.channels)
        return diffusers.AutoencoderKL(**sizes, up_block_types=up, norm_num_groups=config.groups)


def entries_of(table: Callable, config: VAEConfig) -> list[rules.Entry]:
    return rules.entries(table(config), shapes_of(config))


@functools.cache
def shapes_of(config: VAEConfig) -> dict[str, tuple[int, ...]]:
    network = functionalize(lambda rngs: VAE(config, rngs))
    return {name: leaf.shape for name, leaf in network.shapes.items()}


def numbered(config: VAEConfig) -> dict[str, np.ndarray]:
    """Parameters of which no two scalars are equal."""
    params, count = {}, 0
    for name, shape in shapes_of(config).items():
        size = int(np.prod(shape))
        params[name] = np.arange(count, count + size, dtype=np.float32).reshape(shape)
        count += size
    assert count < 2**24  # above it, float32 has no room for all the numbers
    return params


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert set(ours) == set(theirs)
    for name, x in theirs.items():
        np.testing.assert_array_equal(np.asarray(ours[name]), x, err_msg=name)
