"""The VAE against diffusers with the same random weights, and what it promises by itself.

Diffusers runs in float64: its float32 normalisations lose more digits than the tolerance has.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.convert import rules
from venhancer_jax.convert import vae as tables
from venhancer_jax.models.autoencoders.blocks import SpatialAttention
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.vae import VAE, DiagonalGaussian
from venhancer_jax.models.functional import (
    Constructor,
    FunctionalModule,
    Params,
    count_parameters,
    functionalize,
)

CHANNELS = (32, 64, 64, 96)
CONFIGS = {"svd": VAEConfig.svd(channels=CHANNELS), "sd21": VAEConfig.sd21(channels=CHANNELS)}
TINY = VAEConfig.tiny()
REFERENCES = {"svd": "AutoencoderKLTemporalDecoder", "sd21": "AutoencoderKL"}


@dataclasses.dataclass(frozen=True)
class Pair:
    """One VAE twice, with the same weights."""

    config: VAEConfig
    reference: Any
    params: Params
    encode: Callable[[Params, jax.Array], DiagonalGaussian]
    decode: Callable[[Params, jax.Array], jax.Array]


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    """Float32 products everywhere, so that one tolerance serves every device."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request: pytest.FixtureRequest, torch: ModuleType) -> Pair:
    diffusers = pytest.importorskip("diffusers")
    config, name = CONFIGS[request.param], REFERENCES[request.param]
    sizes = {
        "block_out_channels": config.channels,
        "layers_per_block": config.blocks_per_level,
        "down_block_types": ("DownEncoderBlock2D",) * len(config.channels),
    }
    if not config.temporal_decoder:
        sizes["up_block_types"] = ("UpDecoderBlock2D",) * len(config.channels)
    reference = getattr(diffusers, name)(**sizes).eval().requires_grad_(False)
    weights = random_weights({n: tuple(x.shape) for n, x in reference.state_dict().items()})
    reference.load_state_dict({n: torch.from_numpy(x) for n, x in weights.items()})
    reference.double()
    network = build(config)
    table = getattr(tables, request.param)(config)
    ours = rules.from_torch(entries_of(network, table), weights)
    return Pair(config, reference, {n: jnp.asarray(x) for n, x in ours.items()}, *calls(network))


@dataclasses.dataclass(frozen=True)
class Tiny:
    """The smallest VAE."""

    network: FunctionalModule
    params: Params
    encode: Callable[[Params, jax.Array], DiagonalGaussian]
    decode: Callable[[Params, jax.Array], jax.Array]


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    network = build(TINY)
    entries = entries_of(network, tables.svd(TINY))
    weights = random_weights({n: entry.their_shape for entry in entries for n in entry.theirs})
    params = {n: jnp.asarray(x) for n, x in rules.from_torch(entries, weights).items()}
    return Tiny(network, params, *calls(network))


@pytest.mark.parametrize("size", [(48, 80), (24, 56)], ids=str)
def test_encode_matches_diffusers(pair: Pair, torch: ModuleType, size: tuple[int, int]):
    frames = normal("frames", (1, 2, *size, 3))
    theirs = pair.reference.encode(to_torch(torch, frames)).latent_dist
    ours = pair.encode(pair.params, frames)
    assert relative_error(ours.mean, from_torch(theirs.mean)) < 1e-5
    assert relative_error(ours.log_variance, from_torch(theirs.logvar)) < 1e-5
    assert relative_error(ours.std, from_torch(theirs.std)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 4])
def test_decode_matches_diffusers(pair: Pair, torch: ModuleType, frames: int):
    latents = normal("latents", (1, frames, 6, 10, 4))
    group = {"num_frames": frames} if pair.config.temporal_decoder else {}
    theirs = pair.reference.decode(to_torch(torch, latents), **group).sample
    ours = pair.decode(pair.params, latents)
    assert ours.shape == (1, frames, 48, 80, 3)
    assert relative_error(ours, from_torch(theirs)) < 1e-5


def test_log_variance_is_clamped(pair: Pair):
    bias = jnp.array([0.0] * 4 + [100.0, 100.0, -100.0, -100.0])
    frames = normal("frames", (1, 2, 48, 80, 3))
    posterior = pair.encode(pair.params | {"quant_conv.bias": bias}, frames)
    assert bool(jnp.all(posterior.log_variance[..., :2] == 20.0))
    assert bool(jnp.all(posterior.log_variance[..., 2:] == -30.0))


def test_only_the_temporal_decoder_looks_at_other_frames(pair: Pair):
    latents = normal("latents", (1, 4, 6, 10, 4))
    before = pair.decode(pair.params, latents)
    after = pair.decode(pair.params, latents.at[:, 3].multiply(2.0))
    first = relative_error(after[:, 0], before[:, 0])
    assert relative_error(after[:, 3], before[:, 3]) > 1e-2
    assert first > 1e-4 if pair.config.temporal_decoder else first == 0


def test_frames_are_encoded_independently(pair: Pair):
    frames = normal("frames", (1, 2, 48, 80, 3))
    before = pair.encode(pair.params, frames)
    after = pair.encode(pair.params, frames.at[:, 1].multiply(2.0))
    np.testing.assert_array_equal(after.mean[:, 0], before.mean[:, 0])
    assert relative_error(after.mean[:, 1], before.mean[:, 1]) > 1e-2


@pytest.mark.slow
def test_videos_of_a_batch_are_independent(tiny: Tiny):
    latents = normal("latents", (2, 3, 2, 3, 4))
    together = tiny.decode(tiny.params, latents)
    assert relative_error(together[1:], tiny.decode(tiny.params, latents[1:])) < 1e-5


def test_scaled_latents(tiny: Tiny):
    frames, noise = normal("frames", (1, 3, 16, 24, 3)), normal("noise", (1, 3, 2, 3, 4))

    @jax.jit
    def scaled(params: Params, raw: jax.Array) -> tuple[jax.Array, jax.Array]:
        vae = bind(tiny.network, params)
        return vae.encode_latents(frames, noise), vae.decode_latents(0.18215 * raw)

    posterior = tiny.encode(tiny.params, frames)
    raw = posterior.mean + jnp.exp(posterior.log_variance / 2) * noise
    latents, decoded = scaled(tiny.params, raw)
    assert relative_error(latents, 0.18215 * raw) < 1e-6
    assert relative_error(decoded, tiny.decode(tiny.params, raw)) < 1e-5


def test_low_precision_is_for_the_decoder_alone(tiny: Tiny):
    encode, decode = calls(build(dataclasses.replace(TINY, dtype=jnp.bfloat16)))
    frames, latents = normal("frames", (1, 3, 16, 24, 3)), normal("latents", (1, 3, 2, 3, 4))
    mean, exact_mean = (f(tiny.params, frames).mean for f in (encode, tiny.encode))
    np.testing.assert_array_equal(mean, exact_mean)
    out, exact = (f(tiny.params, latents) for f in (decode, tiny.decode))
    assert out.dtype == jnp.float32
    assert 1e-4 < relative_error(out, exact) < 0.05


def test_attention_of_a_large_frame_is_bounded_in_memory():
    attention = functionalize(
        lambda rngs: SpatialAttention(
            32, groups=8, implementation="auto", dtype=jnp.float32, rngs=rngs
        )
    )
    x = jax.ShapeDtypeStruct((1, 2, 90, 160, 32), jnp.float32)
    memory = jax.jit(attention).lower(attention.shapes, x).compile().memory_analysis()
    # All scores of one frame at once would take 0.8 GiB, twice that for the softmax.
    assert memory is not None and memory.temp_size_in_bytes < 640 * 2**20


@pytest.mark.parametrize(
    ("config", "total"), [(VAEConfig.svd(), 97_742_847), (VAEConfig.sd21(), 83_653_863)]
)
def test_parameter_counts(config: VAEConfig, total: int):
    shapes = build(config).shapes
    encoder = {n: s for n, s in shapes.items() if n.startswith(("encoder.", "quant_conv."))}
    assert count_parameters(shapes) == total
    assert count_parameters(encoder) == 34_163_664


def test_sizes_of_presets():
    assert VAEConfig.svd().pixels_per_latent == VAEConfig.tiny().pixels_per_latent == 8
    assert count_parameters(build(VAEConfig.tiny()).shapes) < 500_000


def build(config: VAEConfig) -> FunctionalModule:
    return functionalize(Constructor(VAE, config))


def bind(network: FunctionalModule, params: Params) -> VAE:
    vae = network.bind(params)
    assert isinstance(vae, VAE)
    return vae


def calls(network: FunctionalModule) -> tuple[Callable, Callable]:
    """Compiled `encode` and `decode`."""
    return (
        jax.jit(lambda params, frames: bind(network, params).encode(frames)),
        jax.jit(lambda params, latents: bind(network, params).decode(latents)),
    )


def entries_of(network: FunctionalModule, table: rules.Table) -> list[rules.Entry]:
    return rules.entries(table, {name: leaf.shape for name, leaf in network.shapes.items()})


def random_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights under which every detail shows.

    Convolutions are weak, so that the features are small where they are normalised and a wrong
    epsilon is seen; queries and keys are strong, so that attention is not a plain mean.
    """
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in shapes.items():
        x = rng.standard_normal(shape, dtype=np.float32)
        if len(shape) >= 2:
            gain = 1.5 if ".to_q." in name or ".to_k." in name else 0.05
            x *= np.float32(gain / math.sqrt(math.prod(shape[1:])))
        elif name.endswith("bias"):
            x *= np.float32(0.01)
        elif not name.endswith("mix_factor"):
            x = np.float32(1.0) + np.float32(0.1) * x
        weights[name] = x
    return weights


def normal(stream: str, shape: tuple[int, ...]) -> jax.Array:
    rng = np.random.default_rng(list(stream.encode()))
    return jnp.asarray(rng.standard_normal(shape, dtype=np.float32))


def to_torch(torch: ModuleType, x: jax.Array) -> Any:
    """`[1, F, H, W, C]` to `[F, C, H, W]` float64."""
    return torch.from_numpy(np.array(x[0].transpose(0, 3, 1, 2))).double()


def from_torch(x: Any) -> np.ndarray:
    """`[F, C, H, W]` to `[1, F, H, W, C]`."""
    return x.numpy().transpose(0, 2, 3, 1)[None]


def relative_error(x: jax.Array, wanted: jax.Array | np.ndarray) -> float:
    """Of `x`, in the L2 norm."""
    x64, wanted64 = np.asarray(x, np.float64), np.asarray(wanted, np.float64)
    return float(np.linalg.norm(x64 - wanted64) / np.linalg.norm(wanted64))
