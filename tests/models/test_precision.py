"""Where float32 products are exact, and which layers are float32 in a network of 16 bits."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE
from venhancer_jax.models.functional import Constructor, functionalize
from venhancer_jax.models.text.clip import ClipTextConfig, ClipTextEncoder
from venhancer_jax.models.venhancer.unet3d import UNet3D, UNet3DConfig

EXACT = (jax.lax.Precision.HIGHEST,) * 2
PRODUCTS = ("dot_general", "conv_general_dilated")


def products(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """All matrix products and convolutions, in order."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            yield equation
        for inner in core.jaxprs_in_params(equation.params):
            yield from products(inner)


def traced(function: Any, *inputs: Any) -> list[core.JaxprEqn]:
    return list(products(jax.make_jaxpr(function)(*inputs).jaxpr))


def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def in_bfloat16(shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: array(*x.shape, dtype=jnp.bfloat16) for name, x in shapes.items()}


def unet(**changes: Any) -> list[core.JaxprEqn]:
    config = UNet3DConfig.tiny(multipliers=(1,), blocks_per_level=1, **changes)
    network = functionalize(Constructor(UNet3D, config))
    shapes = network.shapes if config.dtype == jnp.float32 else in_bfloat16(network.shapes)
    return traced(network, shapes, array(1, 2, 4, 4, 4), array(1), array(1, 7, 64))


def test_float32_networks_multiply_exactly():
    """On every accelerator: a TPU would round the factors to bfloat16, a GPU to TensorFloat-32."""
    vae = functionalize(Constructor(VAE, VAEConfig.tiny(dtype=jnp.bfloat16)))
    text = functionalize(Constructor(ClipTextEncoder, ClipTextConfig.tiny().only_used()))
    encode = traced(lambda p, x: vae.bind(p).encode(x), vae.shapes, array(1, 1, 16, 16, 3))
    found = {
        "encoder": encode,
        "text": traced(text, text.shapes, array(1, 77, dtype=jnp.int32)),
        "unet": unet(),
    }
    for name, equations in found.items():
        assert len(equations) > 10, name
        assert {equation.params["precision"] for equation in equations} == {EXACT}, name


def test_lowered_programs_for_accelerators_say_so():
    vae = functionalize(Constructor(VAE, VAEConfig.tiny(channels=(8, 16), groups=4)))
    encode = jax.jit(lambda params, x: vae.bind(params).encode(x))
    lowered = encode.trace(vae.shapes, array(1, 1, 4, 4, 3)).lower(
        lowering_platforms=("cuda", "tpu")
    )
    lines = [line for line in lowered.as_text().splitlines() if "precision" in line]

    assert len(lines) > 10
    assert all(
        "precision = [HIGHEST, HIGHEST]" in line or line.count("#stablehlo<precision HIGHEST>") == 2
        for line in lines
    )


def test_the_last_convolutions_are_float32():
    exact = {jnp.dtype(jnp.float32)}
    *rest, last = unet(dtype=jnp.bfloat16)
    assert {x.aval.dtype for x in last.invars} == exact
    assert last.params["precision"] == EXACT
    in_half = [eqn for eqn in rest if eqn.invars[0].aval.dtype == jnp.bfloat16]
    assert len(in_half) > 0.9 * len(rest)

    config = VAEConfig.tiny(dtype=jnp.bfloat16)
    vae = functionalize(Constructor(VAE, config))
    decode = lambda p, x: vae.bind(p).decode(x)  # noqa: E731
    *rest, last, temporal = traced(decode, in_bfloat16(vae.shapes), array(1, 2, 2, 2, 4))
    assert {x.aval.dtype for eqn in (last, temporal) for x in eqn.invars} == exact
    assert {x.aval.dtype for x in rest[-1].invars} == {jnp.dtype(jnp.bfloat16)}
