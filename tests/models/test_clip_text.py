"""The CLIP text tower against transformers' in PyTorch, and what makes its features penultimate."""

import functools
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from venhancer_jax.convert import clip, rules
from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    Params,
    count_parameters,
    functionalize,
)
from venhancer_jax.models.text.clip import ClipTextConfig, ClipTextEncoder

if TYPE_CHECKING:
    import transformers

SMALL = ClipTextConfig.tiny(vocabulary=200, length=20)


def network(config: ClipTextConfig) -> FunctionalModule:
    return functionalize(Constructor(ClipTextEncoder, config))


def some_tokens(rows: int = 3) -> np.ndarray:
    drawn = np.random.default_rng(0).integers(0, SMALL.vocabulary, (rows, SMALL.length))
    return drawn.astype(np.int32)


@pytest.fixture(scope="module")
def theirs() -> "transformers.CLIPTextModel":
    """A tower of PyTorch whose every parameter is random."""
    import transformers  # takes seconds

    config = transformers.CLIPTextConfig(
        vocab_size=SMALL.vocabulary,
        hidden_size=SMALL.width,
        intermediate_size=4 * SMALL.width,
        num_hidden_layers=SMALL.layers,
        num_attention_heads=SMALL.heads,
        max_position_embeddings=SMALL.length,
        hidden_act="gelu",
        bos_token_id=0,
        eos_token_id=1,
    )
    model = transformers.CLIPTextModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.5 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def params(theirs: "transformers.CLIPTextModel") -> Params:
    """The same parameters in our tower, which has no use for a projection."""
    config, layout = clip.detect(SMALL, theirs.state_dict())
    table = clip.LAYOUTS["text"].tables[layout](config)
    shapes = {name: x.shape for name, x in network(config).shapes.items()}
    tensors = {name: tensor.numpy() for name, tensor in theirs.state_dict().items()}
    converted = rules.from_torch(rules.entries(table, shapes), tensors, ignored=clip.IGNORED)
    return {name: jnp.asarray(x) for name, x in converted.items()}


@functools.partial(jax.jit, static_argnums=0)
def run(config: ClipTextConfig, params: Params, tokens: np.ndarray) -> jax.Array:
    return network(config)(params, tokens)


def features(params: Params, tokens: np.ndarray) -> np.ndarray:
    return np.asarray(run(SMALL.only_used(), params, tokens))


def test_full_size_has_all_parameters_of_the_published_tower():
    shapes = network(ClipTextConfig.vit_h_14()).shapes
    assert count_parameters(shapes) == 354_032_641
    unused = count_parameters(shapes) - count_parameters(
        network(ClipTextConfig.vit_h_14().only_used()).shapes
    )
    assert unused == 12_596_224 + 1024 * 1024 + 1  # last block, projection, temperature


def test_features_equal_those_of_transformers(theirs: "transformers.CLIPTextModel", params: Params):
    tokens = some_tokens()
    with torch.no_grad():
        outputs = theirs(torch.from_numpy(tokens).long(), output_hidden_states=True)
        expected = theirs.final_layer_norm(outputs.hidden_states[-2]).numpy()
    ours = features(params, tokens)
    assert ours.dtype == np.float32
    assert np.linalg.norm(ours - expected) < 1e-5 * np.linalg.norm(expected)


def test_last_block_and_projection_never_run(params: Params):
    everything = network(SMALL)
    unused = set(everything.shapes) - set(network(SMALL.only_used()).shapes)
    assert {name.split(".")[0] for name in unused} == {"blocks", "text_projection", "logit_scale"}
    assert any(name.startswith("blocks.2.") for name in unused)
    spoilt = dict(params) | {
        name: jnp.full(everything.shapes[name].shape, jnp.nan) for name in unused
    }
    out = np.asarray(jax.jit(everything)(spoilt, some_tokens()))
    np.testing.assert_array_equal(out, features(params, some_tokens()))


def test_every_other_block_runs(params: Params):
    before = features(params, some_tokens())
    for block in range(SMALL.layers - 1):
        name = f"blocks.{block}.mlp.linear2.bias"
        after = features(params | {name: params[name].at[0].add(1)}, some_tokens())
        assert np.abs(after - before).max() > 1e-2


def test_a_token_sees_itself_and_those_before_it(params: Params):
    tokens = some_tokens(1)
    changed = tokens.copy()
    changed[0, 7] += 1
    difference = np.abs(features(params, changed) - features(params, tokens)).max(axis=-1)[0]
    assert (difference[:7] == 0).all()
    assert (difference[7:] > 1e-4).all()


def test_half_precision_gives_full_precision_features(params: Params):
    net = network(ClipTextConfig.tiny(vocabulary=200, length=20, dtype=jnp.bfloat16).only_used())
    out = jax.jit(net)(params, some_tokens())
    expected = features(params, some_tokens())
    assert out.dtype == jnp.float32
    assert np.linalg.norm(np.asarray(out) - expected) < 0.05 * np.linalg.norm(expected)


def test_fresh_parameters_run():
    net = network(SMALL)
    out = jax.jit(net)(jax.jit(net.init)(jax.random.key(0)), some_tokens())
    assert out.shape == (3, SMALL.length, SMALL.width)
    assert jnp.isfinite(out).all()
