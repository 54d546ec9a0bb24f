"""What a trained row achieves on unseen clips, with right and with wrong references."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.genve_ablation.data import SCALE, SIZE, Examples
from benchmarks.genve_ablation.train import ROWS, conditioning_of, row_task
from venhancer_jax.data.resample import to_uint8
from venhancer_jax.diffusion.guidance import v_to_x0
from venhancer_jax.diffusion.solvers import ddim_steps
from venhancer_jax.diffusion.timesteps import even_times
from venhancer_jax.metrics.lr_consistency import box_resize
from venhancer_jax.metrics.psnr import decibels, mean_squared_error
from venhancer_jax.metrics.temporal import warping_error
from venhancer_jax.models.functional import Params
from venhancer_jax.training.genve.conditioning import Conditioning, Example
from venhancer_jax.training.loss import perceptual_distance, perceptual_params, v_target
from venhancer_jax.training.objective import stream, to_signed

REFERENCES = ("true", "shifted", "other", "none")
# Root mean squares in levels of 255: `change` is that of a result, shrunk like the input, from the
# input; `apart` that of a result from the one with the true reference.
METRICS = ("loss", "psnr", "lpips", "warping_error", "change", "apart")
# Noise of hint and reference, and that of the last row besides.
NOISE_AUG, NOISE_LEVELS = 250, (100, 200, 300)
# Start of the video, steps, and time steps of the loss.
START, STEPS, LOSS_TIMES = 900, 5, (200, 500, 800)
SHIFT = 4  # patches
_KEY = jax.random.key(2**20)


def measure(row: str, params: Params, examples: Examples) -> dict[str, dict[str, float]]:
    """Measures a row on unseen clips.

    Args:
      row: key of `train.ROWS`.
      params: all parameters of the network.
      examples: unseen clips.

    Returns:
      Value of each of `METRICS` by reference, and for the last row by noise level; a row without
      fusion has `none` only, and nothing that it is apart from.
    """
    fusion = ROWS[row]["fusion"]
    cases = dict.fromkeys(REFERENCES if fusion != "none" else REFERENCES[-1:], NOISE_AUG)
    if row == list(ROWS)[-1]:
        cases |= {f"noise {level}": level for level in NOISE_LEVELS}
    found, true = {}, None
    for name, level in cases.items():
        example = _example(row, examples, name, level)
        latents, loss = _sample(fusion, params, example)
        frames = _decoded(examples, latents)
        true = frames if name == "true" else true
        found[name] = {"loss": loss} | _scores(frames, examples)
        if true is not None:
            found[name]["apart"] = _rms((frames - true) / 2)
    return found


def _example(row: str, examples: Examples, reference: str, level: int) -> Example:
    """Encodes unseen clips as inference does: nothing is masked, dropped or shuffled."""
    task = row_task(row)
    count, patch = len(examples.video), row_task(row).source.config.patch
    conditioning = dataclasses.replace(conditioning_of(task), mask=0.0, dropout=0.0)
    batch = examples.batch(slice(None), jnp.full(count, level))
    example = conditioning.example(task.frozen, batch, _KEY)
    if example.reference is None:
        return example
    shown = example.clean
    if reference == "shifted":
        shown = jnp.roll(shown, SHIFT * patch, axis=3)
    elif reference == "other":
        shown = jnp.roll(shown, 1, axis=0)
    picture = conditioning.reference(dataclasses.replace(example, clean=shown), batch, _KEY)
    has = jnp.full(count, reference != "none")
    if reference == "none":
        picture = jnp.zeros_like(picture)
    return dataclasses.replace(example, reference=picture, has_reference=has, permutation=None)


def _sample(fusion: str, params: Params, example: Example) -> tuple[np.ndarray, float]:
    """Samples latents from the noised low-quality clip; also computes the mean loss of v."""
    conditioning, predict = _network(fusion)
    count = len(example.clean)

    def times(t: int) -> jax.Array:
        return jnp.full(count, t)

    steps = ddim_steps(conditioning.schedule, even_times(STEPS, START - 1))
    x, _ = conditioning.diffuse(example.low, times(int(steps.t[0])), stream(_KEY, "start"))
    for i, t in enumerate(steps.t):
        v = predict(params, example, x, times(int(t)))
        x0 = v_to_x0(x, v, *conditioning.levels(times(int(t))))
        x = float(steps.c_x[i]) * x + float(steps.c_x0[i]) * x0
    losses = []
    for t in LOSS_TIMES:
        noised, noise = conditioning.diffuse(example.clean, times(t), stream(_KEY, f"loss {t}"))
        target = v_target(example.clean, noise, *conditioning.levels(times(t)))
        losses.append(jnp.square(predict(params, example, noised, times(t)) - target).mean())
    return np.asarray(x), float(np.mean(losses))


# Rows of one fusion share the compiled network.
@functools.cache
def _network(fusion: str) -> tuple[Conditioning, Any]:
    row = next(row for row, settings in ROWS.items() if settings["fusion"] == fusion)
    conditioning = conditioning_of(row_task(row))

    @jax.jit
    def predict(params: Params, example: Example, x: jax.Array, t: jax.Array) -> jax.Array:
        return conditioning.predict(params, {"denoiser": {}}, example, x, t)

    return conditioning, predict


def _decoded(examples: Examples, latents: np.ndarray) -> jax.Array:
    """Decodes latents `[N, F, h, w, C]` to frames `[N, F, H, W, 3]` in [-1, 1]."""
    decode, vae, _, _ = _decoder()
    return decode(vae, latents / examples.gain[:, None, None, None, None].astype(np.float32))


def _rms(difference: jax.Array | np.ndarray) -> float:
    return float(255 * np.sqrt(np.square(difference).mean()))


def _scores(signed: jax.Array, examples: Examples) -> dict[str, float]:
    """Computes the means over clips of the metrics of frames in [-1, 1]."""
    _, _, distance, perceptual = _decoder()
    lpips = distance(perceptual, signed, to_signed(jnp.asarray(examples.frames)))
    frames = to_uint8((np.asarray(signed) + 1) * 127.5)
    pairs = list(zip(frames, examples.frames, strict=True))
    small = SIZE[0] // SCALE, SIZE[1] // SCALE
    change = [box_resize(a, *small) - box_resize(b, *small) for a, b in pairs]
    psnr = [decibels(float(mean_squared_error(a, b).mean())) for a, b in pairs]
    # No pixel of a clip may be certain.
    warping = np.concatenate([warping_error(a, b) for a, b in pairs])
    return {
        "psnr": float(np.mean(psnr)),
        "lpips": float(np.mean(lpips)),
        "warping_error": float(1000 * np.nanmean(warping)),
        "change": _rms(np.stack(change)),
    }


@functools.cache
def _decoder() -> tuple[Any, Mapping[str, jax.Array], Any, Params]:
    """Returns the compiled decoder and LPIPS, with their parameters."""
    task = row_task("A")
    conditioning = conditioning_of(task)
    decode = jax.jit(lambda vae, x: jnp.clip(conditioning.decode({"vae": vae}, x), -1, 1))
    return decode, task.frozen["vae"], jax.jit(perceptual_distance), perceptual_params()
