"""The rules of CLIP text towers against the published manifest and against transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from venhancer_jax.convert import clip, rules
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import functionalize
from venhancer_jax.models.text.clip import ClipTextConfig, ClipTextEncoder

TINY = ClipTextConfig.tiny(vocabulary=50, length=20)


def entries(config: ClipTextConfig, table: rules.Table) -> list[rules.Entry]:
    shapes = functionalize(lambda rngs: ClipTextEncoder(config, rngs)).shapes
    return rules.entries(table, {name: x.shape for name, x in shapes.items()})


def random_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: np.asarray(rng.random(shape), np.float32) for name, shape in shapes.items()}


def open_clip_shapes(config: ClipTextConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes as open_clip publishes them."""
    d = config.width
    block = {
        "ln_1.weight": (d,),
        "ln_1.bias": (d,),
        "attn.in_proj_weight": (3 * d, d),
        "attn.in_proj_bias": (3 * d,),
        "attn.out_proj.weight": (d, d),
        "attn.out_proj.bias": (d,),
        "ln_2.weight": (d,),
        "ln_2.bias": (d,),
        "mlp.c_fc.weight": (4 * d, d),
        "mlp.c_fc.bias": (4 * d,),
        "mlp.c_proj.weight": (d, 4 * d),
        "mlp.c_proj.bias": (d,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (config.length, d),
        "text_projection": (d, d),
        "logit_scale": (),
        "token_embedding.weight": (config.vocabulary, d),
        "ln_final.weight": (d,),
        "ln_final.bias": (d,),
    }
    for i in range(config.layers):
        shapes |= {f"transformer.resblocks.{i}.{name}": s for name, s in block.items()}
    return shapes


def transformers_tensors(kind: str) -> dict[str, np.ndarray]:
    """A random state dict whose names and shapes transformers makes."""
    import transformers  # takes seconds

    text: dict[str, Any] = {
        "vocab_size": TINY.vocabulary,
        "hidden_size": TINY.width,
        "intermediate_size": 4 * TINY.width,
        "num_hidden_layers": TINY.layers,
        "num_attention_heads": TINY.heads,
        "max_position_embeddings": TINY.length,
        "projection_dim": TINY.width,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if kind == "CLIPModel":
        vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
        config = transformers.CLIPConfig(
            text_config=text, vision_config=vision, projection_dim=TINY.width
        )
    else:
        config = transformers.CLIPTextConfig(**text)
    state = getattr(transformers, kind)(config).state_dict()
    tensors = random_tensors({name: tuple(x.shape) for name, x in state.items()})
    return tensors


def converted(tensors: dict[str, np.ndarray]) -> tuple[ClipTextConfig, dict[str, np.ndarray]]:
    """Our parameters, after a look at the tensors and a round trip."""
    config, layout = clip.detect(TINY, tensors)
    table = clip.LAYOUTS["text"].tables[layout](config)
    found = entries(config, table)
    constants = rules.constants(table)
    params = rules.from_torch(found, tensors, ignored=clip.IGNORED, constants=constants)
    back = rules.to_torch(found, params, constants=constants)
    dropped = (*clip.IGNORED, *constants)  # newer versions of transformers have no constants
    assert set(back) == {n for n in tensors if not n.startswith(dropped)}
    for name, tensor in back.items():
        assert tensor.dtype == tensors[name].dtype
        assert tensor.shape == tensors[name].shape
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)
    return config, params


def test_full_size_fits_the_published_manifest():
    config = ClipTextConfig.vit_h_14()
    shapes = open_clip_shapes(config)
    found = entries(config, clip.open_clip(config))
    rules.check(found, shapes | {"visual.proj": (1280, 1024)}, ignored=clip.IGNORED)
    assert len(shapes) == 294
    assert rules.parameter_count(found) == 354_032_641


def test_open_clip_round_trip():
    tensors = random_tensors(open_clip_shapes(TINY) | {"visual.proj": (3, 5)})
    config, params = converted(tensors)
    assert config == TINY
    # open_clip multiplies by the projection from the right, as our linear layers do.
    np.testing.assert_array_equal(params["text_projection.kernel"], tensors["text_projection"])
    np.testing.assert_array_equal(
        params["blocks.1.attn.in_proj.kernel"],
        tensors["transformer.resblocks.1.attn.in_proj_weight"].T,
    )


@pytest.mark.parametrize(
    ("kind", "projection", "logit_scale"),
    [
        ("CLIPTextModel", False, False),
        ("CLIPTextModelWithProjection", True, False),
        ("CLIPModel", True, True),
    ],
)
def test_transformers_round_trip(kind: str, projection: bool, logit_scale: bool):
    tensors = transformers_tensors(kind)
    config, params = converted(tensors)
    assert (config.projection, config.logit_scale) == (projection, logit_scale)
    assert config.last_block
    if projection:
        np.testing.assert_array_equal(
            params["text_projection.kernel"], tensors["text_projection.weight"].T
        )


def test_stacked_projections_are_queries_keys_values():
    tensors = transformers_tensors("CLIPTextModelWithProjection")
    _, params = converted(tensors)
    start = "text_model.encoder.layers.0.self_attn"
    stacked = [tensors[f"{start}.{which}_proj.bias"] for which in "qkv"]
    np.testing.assert_array_equal(params["blocks.0.attn.in_proj.bias"], np.concatenate(stacked))


@pytest.mark.parametrize("prefix", ["text_model.", ""])
def test_last_block_may_be_missing(prefix: str):
    tensors = {
        prefix + name: x
        for name, x in transformers_tensors("CLIPTextModel").items()
        if not name.startswith(f"encoder.layers.{TINY.layers - 1}.")
    }
    tensors[prefix + "embeddings.position_ids"] = np.arange(20)[None]
    config, params = converted(tensors)
    assert config == TINY.only_used()
    assert not any(name.startswith(f"blocks.{TINY.layers - 1}.") for name in params)


def test_both_layouts_give_the_same_names():
    _, ours = converted(random_tensors(open_clip_shapes(TINY)))
    _, theirs = converted(transformers_tensors("CLIPModel"))
    assert {n: x.shape for n, x in ours.items()} == {n: x.shape for n, x in theirs.items()}


def test_another_checkpoint_is_named():
    with pytest.raises(InputError, match="no text tower of CLIP"):
        clip.detect(TINY, ["conv.weight"])


def test_a_block_too_many_is_refused():
    tensors = random_tensors(
        open_clip_shapes(ClipTextConfig.tiny(vocabulary=50, length=20, layers=4))
    )
    config, layout = clip.detect(TINY, tensors)
    table = clip.LAYOUTS["text"].tables[layout](config)
    with pytest.raises(InputError, match=r"extra transformer\.resblocks\.3\.ln_1\.weight"):
        rules.from_torch(entries(config, table), tensors, ignored=clip.IGNORED)
