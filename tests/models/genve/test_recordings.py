"""Recordings of VEnhancer's networks, replayed with an attention to a reference at its start."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from models.genve.tiny_attention import fresh_attention
from models.tiny_networks import normal

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity.case import NETWORK, compare
from venhancer_jax.convert.parity.recording import channels_last, find
from venhancer_jax.convert.parity.venhancer.networks import config_of
from venhancer_jax.models.functional import Constructor, functionalize
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.models.genve.network import GuidedUNet
from venhancer_jax.models.venhancer.controlnet import key_index_of_mask

GOLDENS = Path(__file__).parents[2] / "goldens/venhancer"
NAMES = {"hint": "hint", "hint_t": "t_hint", "scale": "s_cond", "key_index": "mask_cond"}


def test_these_are_all_network_recordings():
    networks = {r.path.stem for r in find([str(GOLDENS)]) if r.kind == "network"}
    assert networks == {"a1_allkey", "a4_nomask", "a5_oneframe"}


@pytest.mark.slow  # test_guided_unet shows it for a small network
@pytest.mark.parametrize("name", ["a1_allkey", "a4_nomask", "a5_oneframe"])
def test_recording_is_met(name: str):
    (recording,) = find([str(GOLDENS / f"{name}.safetensors")])
    tensors, config = recording.tensors, config_of(dict(recording.info))
    guided = GenVEConfig.from_unet(config)
    network = functionalize(Constructor(GuidedUNet, guided))
    params = recording.params(layout_entries("venhancer", config, "venhancer"))
    params |= fresh_attention(guided)
    assert params.keys() == network.shapes.keys()
    conditions: dict[str, Any] = {n: tensors[t] for n, t in NAMES.items() if t in tensors}
    if "hint" in conditions:
        conditions["hint"] = channels_last(conditions["hint"])
    if recording.info.get("mask_convention") == "first release":
        conditions["key_index"] = key_index_of_mask(jnp.asarray(conditions["key_index"]))
    x = channels_last(tensors["x"])

    @jax.jit
    def run(params, x, reference, t, text, conditions):
        module = network.bind(params)
        texture = module.texture(x, reference)
        v, control, _ = module.with_features(x, t, text, conditions | {"texture": texture})
        return texture, v, control

    with jax.default_matmul_precision("highest"):
        inputs = (x, normal(0, *x.shape), tensors["t"], tensors["y"], conditions)
        texture, v, control = run(params, *inputs)

    assert float(jnp.abs(texture).max()) > 0.1
    cases = [compare("out", v, channels_last(tensors["out"]), NETWORK)]
    for i, feature in enumerate(control):
        if f"control.{i}" in tensors:
            per_frame = feature.reshape(-1, *feature.shape[2:])
            recorded = channels_last(tensors[f"control.{i}"])
            cases.append(compare(f"control.{i}", per_frame, recorded, NETWORK))
    print(name, len(cases), max(case.relative for case in cases))
    assert [case for case in cases if not case.passed] == []
