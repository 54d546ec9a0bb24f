"""The VAEs of the x4 upscaler: norms over frames, and the decoder that sees the input."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.autoencoders import blocks
from venhancer_jax.models.autoencoders.conditioned_decoder import Conv3dResBlock, FeatureTransform
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE
from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    Params,
    count_parameters,
    functionalize,
)
from venhancer_jax.models.layers.convolutions import Upsample
from venhancer_jax.sharding.flops import count_flops

PUBLISHED = {"image": VAEConfig.x4_image(), "video": VAEConfig.x4_video()}


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """Float32 products everywhere."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def published() -> dict[str, FunctionalModule]:
    return {name: functionalize(Constructor(VAE, c)) for name, c in PUBLISHED.items()}


@pytest.mark.parametrize(
    ("name", "tensors", "total", "tflop"),
    [("image", 204, 55_325_927, 2.83), ("video", 296, 113_776_365, 6.45)],
)
def test_published_sizes(
    published: dict[str, FunctionalModule], name: str, tensors: int, total: int, tflop: float
):
    network = published[name]
    assert (len(network.shapes), count_parameters(network.shapes)) == (tensors, total)

    def decode(params: Params, latents: jax.Array, condition: jax.Array) -> jax.Array:
        return network.bind(params).decode_latents(latents, condition)

    latents, condition = (jax.ShapeDtypeStruct((1, 3, 80, 80, c), jnp.float32) for c in (4, 3))
    assert count_flops(decode, network.shapes, latents, condition) == pytest.approx(
        tflop * 1e12, rel=0.01
    )


def test_chunks_of_frames_share_the_statistics_of_all(monkeypatch: pytest.MonkeyPatch):
    network = functionalize(
        lambda rngs: blocks.SpatialResBlock(
            8, 16, over_frames=True, groups=4, dtype=jnp.float32, rngs=rngs
        )
    )
    params = random_params(network)
    # Brighter with every frame, so that statistics of one frame are others.
    x = normal((1, 3, 4, 4, 8)) * jnp.arange(1, 4).reshape(3, 1, 1, 1)
    call = jax.jit(network.__call__)
    whole = call(params, x)
    alone = jnp.concatenate([call(params, x[:, i : i + 1]) for i in range(3)], axis=1)
    monkeypatch.setattr(blocks, "_CHUNK_ELEMENTS", 4 * 4 * 8)
    in_chunks = jax.jit(lambda *inputs: network(*inputs))(params, x)
    np.testing.assert_allclose(in_chunks, whole, rtol=1e-5, atol=1e-5)
    assert relative_error(alone, whole) > 0.05


def test_one_large_frame_at_a_time_is_upsampled(monkeypatch: pytest.MonkeyPatch):
    network = functionalize(
        lambda rngs: blocks.Level(
            8, 8, blocks=0, resample=Upsample, groups=4, dtype=jnp.float32, rngs=rngs
        )
    )
    x = jax.ShapeDtypeStruct((1, 6, 64, 64, 8), jnp.float32)

    def temporaries() -> int:
        memory = jax.jit(network.__call__).lower(network.shapes, x).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    whole = temporaries()
    monkeypatch.setattr(blocks, "_CHUNK_ELEMENTS", 64 * 64 * 8)
    assert temporaries() < 0.5 * whole


def test_a_3d_convolution_starts_at_zero_and_joins_neighbouring_frames():
    network = functionalize(
        lambda rngs: Conv3dResBlock(8, 8, groups=4, dtype=jnp.float32, rngs=rngs)
    )
    x = normal((1, 4, 4, 4, 8))
    fresh, call = jax.jit(network.init)(jax.random.key(0)), jax.jit(network.__call__)
    plain = functionalize(
        lambda rngs: blocks.SpatialResBlock(
            8, 8, over_frames=True, groups=4, dtype=jnp.float32, rngs=rngs
        )
    )
    without = jax.jit(plain.__call__)({n: fresh[n] for n in plain.shapes}, x)
    np.testing.assert_array_equal(call(fresh, x), without)
    # Only the tap of the frame before is set.
    kernel = jnp.zeros((3, 3, 3, 8, 8)).at[0, 1, 1].set(jnp.eye(8))
    moved = call(fresh | {"conv_3d.kernel": kernel}, x) - without
    np.testing.assert_array_equal(moved[:, 0], jnp.zeros_like(moved[:, 0]))
    assert float(jnp.abs(moved[:, 1:]).min(axis=(0, 2, 3, 4)).max()) > 0


def test_the_weight_of_the_condition():
    network = functionalize(
        lambda rngs: FeatureTransform(8, 4, groups=4, dtype=jnp.float32, rngs=rngs)
    )
    params, x, condition = random_params(network), normal((1, 2, 4, 4, 8)), normal((1, 2, 4, 4, 4))
    call = jax.jit(network.__call__)
    whole, half, none = (call(params, x, condition, weight) for weight in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(none, x)
    np.testing.assert_allclose(half, (whole + x) / 2, rtol=1e-5, atol=1e-5)
    assert relative_error(whole, x) > 0.1


def test_only_the_conditioned_decoder_needs_a_condition(published: dict[str, FunctionalModule]):
    latents = jax.ShapeDtypeStruct((1, 1, 8, 8, 4), jnp.float32)
    network = published["video"]
    with pytest.raises(ValueError, match="expected condition"):
        jax.eval_shape(lambda p, z: network.bind(p).decode(z), network.shapes, latents)
    network = published["image"]
    frames = jax.eval_shape(lambda p, z: network.bind(p).decode(z), network.shapes, latents)
    assert frames.shape == (1, 1, 32, 32, 3)


def test_scores_of_large_frames_are_never_whole():
    attention = functionalize(
        lambda rngs: blocks.SpatialAttention(
            32, groups=8, implementation="auto", dtype=jnp.float32, rngs=rngs
        )
    )
    # Three frames of 1080p output: their scores would take 188 GiB.
    x = jax.ShapeDtypeStruct((1, 3, 270, 480, 32), jnp.float32)
    memory = jax.jit(attention).lower(attention.shapes, x).compile().memory_analysis()
    assert memory is not None and memory.temp_size_in_bytes < 2**30


def random_params(network: FunctionalModule) -> Params:
    return {
        name: 0.3 * normal(leaf.shape) + float(name.endswith("scale"))
        for name, leaf in network.shapes.items()
    }


def normal(shape: tuple[int, ...]) -> jax.Array:
    rng = np.random.default_rng(len(shape) + shape[0])
    return jnp.asarray(rng.standard_normal(shape, dtype=np.float32))


def relative_error(x: jax.Array, wanted: jax.Array) -> float:
    return float(jnp.linalg.norm(x - wanted) / jnp.linalg.norm(wanted))
