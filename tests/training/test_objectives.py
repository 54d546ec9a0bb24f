"""What the objectives besides the paper's measure: one-step enhancement, and the VAE."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.diffusion.guidance import v_to_x0
from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.metrics.lpips import lpips
from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import plan_steps
from venhancer_jax.training.autoencoder import Autoencoder, latent_scale
from venhancer_jax.training.loss import perceptual_params
from venhancer_jax.training.objective import stream, to_signed
from venhancer_jax.training.state import TrainState, make_optimizer
from venhancer_jax.training.step import make_step
from venhancer_jax.training.venhancer.conditioning import Conditioning, Example
from venhancer_jax.training.venhancer.objectives import OneStep

KEY = jax.random.key(7)
START = 80
SCHEDULE = cosine_interpolated_schedule()
UNET = UNet3DConfig.tiny(
    width=64, blocks_per_level=1, multipliers=(1,), attention_levels=(), context_width=16
)
VAE = catalog.build(
    "vae",
    VAEConfig.tiny(
        channels=(8, 8), blocks_per_level=0, groups=4, mid_attention=False, temporal_decoder=False
    ),
)
TEXT = catalog.build("no_text", NullTextConfig(width=16))


class Given(Conditioning):
    """Conditioning whose latents are those of the batch, and whose frames are latents."""

    def example(self, frozen, batch, key) -> Example:
        return batch["example"]

    def decode(self, frozen, latents):
        return latents[..., :3]


def denoiser(params, x, t, text, *, hint, hint_t, scale, key_index):
    """A v in which every input shows."""
    at = (t / 1000 + hint_t / 500 + scale / 10)[:, None, None, None, None]
    return (
        params["weight"] * jnp.sin(3 * x + at) + 0.5 * hint + 0.1 * key_index[..., None, None, None]
    )


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def _example(clean: jax.Array, low: jax.Array) -> Example:
    return Example(
        clean=clean,
        low=low,
        hint=_normal(5, *low.shape),
        hint_t=jnp.array([20, 200]),
        scale=jnp.array([2.0, 4.0]),
        key_index=jnp.array([[0, -1], [0, 1]]),
        text=jnp.zeros((2, 1, 16)),
    )


def _random(network: FunctionalModule) -> Params:
    generator = np.random.default_rng(1)
    return {
        name: jnp.asarray(
            0.1 * generator.standard_normal(spec.shape) + name.endswith("scale"), jnp.float32
        )
        for name, spec in network.shapes.items()
    }


@pytest.fixture(scope="module")
def vae_params():
    params = _random(VAE)
    # Frames stay within [-1, 1], which is all that the measure of LPIPS takes.
    params["decoder.conv_out.kernel"] *= 0.2
    return params


@pytest.fixture(scope="module")
def batch():
    # Lines and levels: of noise alone nothing can be learned in a few steps.
    y, x, t = np.ogrid[:32, :32, :2]
    waves = [128 + 100 * np.sin(y / 5 + x / a + t) for a in (3, 4, 6)]
    clip = np.stack(waves, -1).transpose(2, 0, 1, 3).astype(np.uint8)
    video = np.stack([clip, 255 - clip[:, ::-1]])
    return {
        "video": jnp.asarray(video),
        "low": jnp.asarray(video // 2),
        "key_index": jnp.array([[0, -1], [0, 1]]),
        "scale": jnp.array([2.0, 4.0]),
        "noise_aug": jnp.array([1, 300]),
        "tokens": jnp.zeros((2, 77), jnp.int32),
    }


def test_a_silent_denoiser_gives_the_faded_input(vae_params, batch):
    """What is left without v is the video, faded twice."""

    def silent(params, x, *args, **conditions):
        return jnp.zeros_like(x)

    conditioning = Conditioning(silent, VAE, TEXT, 0.5, SCHEDULE)  # pyright: ignore
    frozen = {"denoiser": {}, "vae": vae_params, "text": {}}
    example = jax.jit(conditioning.example)(frozen, batch, KEY)

    loss, metrics = jax.jit(OneStep(conditioning, START, latent_weight=3.0).loss)(
        {}, frozen, batch, KEY
    )

    alpha = SCHEDULE.alphas[START]
    expected = np.abs(alpha * alpha * np.asarray(example.low) - np.asarray(example.clean)).mean()
    assert set(metrics) == {"latent_error"}
    assert float(metrics["latent_error"]) == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(3 * expected, rel=1e-5)


def test_one_step_is_the_samplers_step():
    """With the sampler's own result as the clean clip, the error is zero."""
    conditioning = Given(denoiser, VAE, TEXT, 1.0, SCHEDULE)
    params, shape = {"weight": jnp.float32(0.7)}, (2, 2, 4, 4, 4)
    example = _example(jnp.zeros(shape), _normal(3, *shape))
    frozen = {"denoiser": {}}
    start = SCHEDULE.alphas[START] * example.low
    options = VEnhancerOptions(
        solver="ddim", solver_mode="normal", steps=1, noise_levels=START + 1, guidance_scale=1.0
    )
    seen = []

    @jax.jit
    def clean(x):
        v = conditioning.predict(params, frozen, example, x, jnp.full(2, START))
        return v_to_x0(x, v, SCHEDULE.alphas[START], SCHEDULE.sigmas[START])

    def denoise(x, t):
        seen.append(int(t))
        return clean(x)

    sampled = solve(denoise, start, plan_steps(SCHEDULE, options), CounterNoise(0))
    batch = {"example": dataclasses.replace(example, clean=sampled)}
    _, metrics = jax.jit(OneStep(conditioning, START).loss)(params, frozen, batch, KEY)

    assert seen == [START]
    assert float(metrics["latent_error"]) < 1e-6 < float(jnp.abs(sampled - start).mean())


def test_parts_are_weighted_and_differentiable(batch):
    conditioning = Given(denoiser, VAE, TEXT, 1.0, SCHEDULE)
    shape = (2, 2, 32, 32, 4)
    example = _example(0.3 * _normal(1, *shape), 0.3 * _normal(2, *shape))
    data = batch | {"example": example}
    frozen = {"denoiser": {}, "perceptual": perceptual_params()}

    def parts(weight):
        objective = OneStep(
            conditioning, START, latent_weight=0.25, pixel_weight=0.5, perceptual_weight=2.0
        )
        loss, metrics = objective.loss({"weight": weight}, frozen, data, KEY)
        return jnp.stack(
            [metrics[f"{name}_error"] for name in ("latent", "pixel", "perceptual")] + [loss]
        )

    weight, step = jnp.float32(0.7), 0.05
    both = jax.jit(lambda weight: jax.jvp(parts, (weight,), (jnp.ones_like(weight),)))
    values, slopes = jax.device_get(both(weight))
    steepness = np.asarray(both(weight + step)[0] - both(weight - step)[0]) / (2 * step)

    assert values[3] == pytest.approx(values[:3] @ [0.25, 0.5, 2.0], rel=1e-5)
    assert slopes[3] == pytest.approx(slopes[:3] @ [0.25, 0.5, 2.0], rel=1e-4)
    # LPIPS of noise is too rough to be followed this far.
    np.testing.assert_allclose(slopes[:2], steepness[:2], rtol=0.05)
    assert np.abs(slopes).min() > 1e-3


def test_autoencoder_against_numpy(vae_params, batch):
    objective = Autoencoder(VAE, pixel_weight=0.5, perceptual_weight=3.0, kl_weight=0.01)

    loss, metrics = jax.jit(objective.loss)(
        vae_params, {"perceptual": perceptual_params()}, batch, KEY
    )

    bound = VAE.bind(vae_params)
    target = np.asarray(batch["video"]) / np.float32(127.5) - 1
    posterior = jax.jit(bound.encode)(target)
    noise = jax.random.normal(stream(KEY, "posterior"), posterior.mean.shape)
    frames = np.asarray(jax.jit(bound.decode)(posterior.mean + posterior.std * noise))
    error = np.abs(frames - target).mean()
    assert float(metrics["pixel_error"]) == pytest.approx(error, rel=1e-5)

    total = 0.0
    means, stds = np.ravel(posterior.mean).tolist(), np.ravel(posterior.std).tolist()
    for mean, std in zip(means, stds, strict=True):
        # KL(N(mean, std) || N(0, 1)) in nats.
        total += -math.log(std) + (std**2 + mean**2) / 2 - 0.5
    kl = total / len(means)
    assert float(metrics["kl"]) == pytest.approx(kl, rel=1e-4)

    distance = np.mean(
        [lpips((x + 1) / 2, (y + 1) / 2) for x, y in zip(frames, target, strict=True)]
    )
    assert float(metrics["perceptual_error"]) == pytest.approx(distance, rel=1e-4)

    assert float(loss) == pytest.approx(0.5 * error + 3 * distance + 0.01 * kl, rel=1e-5)


def test_scaled_latents_have_unit_deviation(vae_params, batch):
    batches = [batch, {"video": batch["low"]}]

    scale = latent_scale(VAE, vae_params, batches)

    encode = jax.jit(lambda frames: VAE.bind(vae_params).encode(to_signed(frames)).mean)
    latents = np.concatenate([encode(part["video"]) for part in batches])
    assert np.std(scale * latents.astype(np.float64)) == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_autoencoder_learns_a_batch(vae_params, batch):
    optimizer = make_optimizer(learning_rate=1e-2, weight_decay=0.0)
    step = jax.jit(make_step(Autoencoder(VAE), optimizer, seed=0))
    state, losses = TrainState.start(vae_params, optimizer), []

    for _ in range(20):
        state, metrics = step(state, {}, batch)
        losses.append(float(metrics["loss"]))

    assert losses[-1] < 0.8 * losses[0]
