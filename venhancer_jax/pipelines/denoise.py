"""The denoiser of a whole clip: windows, guidance, reuse of earlier steps."""

from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.diffusion.solvers import Denoise
from venhancer_jax.models.layers.text_kv_cache import TextKVCache
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.options import GuidedOptions
from venhancer_jax.pipelines.pieces import Box, blend
from venhancer_jax.pipelines.step_cache import CachedSteps, plan_steps_reuse
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.sharding.mesh import num_shards


class Conditions(Protocol):
    """What a clip is denoised under."""

    def for_windows(self, boxes: Sequence[Box]) -> dict[str, jax.Array]:
        """Returns the conditions `[n, ...]` of n windows."""
        ...


def windowed_denoiser(
    denoiser: LoadedNetwork,
    boxes: Sequence[Box],
    conditions: Conditions,
    text: TextKVCache,
    schedule: Schedule,
    times: Sequence[int],
    options: GuidedOptions,
) -> Denoise:
    """Returns a function from noisy to clean latents of a clip, window by window.

    Args:
      denoiser: network that predicts v.
      boxes: windows, whose weights sum to 1 at every latent.
      conditions: conditions of the whole clip.
      text: keys and values of prompt and negative prompt, or of the prompt alone.
      schedule: noise levels of the denoiser.
      times: time step of every network call of the solver, in order.
      options: options of the user.

    Returns:
      `(x [1, F, h, w, C], t) -> x0`, blended where windows overlap.
    """
    guidance = jnp.float32(options.guidance_scale), jnp.float32(options.guidance_rescale)
    guided = jax.tree.leaves(text)[0].shape[0] == 2
    plans = plan_steps_reuse(times, options, guided=guided)
    steps: dict[tuple[tuple[int, int, int], ...], CachedSteps] = {}

    def denoise(x: jax.Array, t: np.integer) -> jax.Array:
        levels = jnp.asarray(schedule.alphas[t]), jnp.asarray(schedule.sigmas[t])

        def denoise_windows(latents: jax.Array, windows: Sequence[Box]) -> jax.Array:
            cached = steps.setdefault(tuple(b.start for b in windows), CachedSteps(plans))
            return cached(
                lambda plan, cache: programs.denoise(
                    denoiser.network,
                    plan,
                    denoiser.params,
                    latents,
                    t,
                    levels,
                    text,
                    guidance,
                    conditions.for_windows(windows),
                    cache,
                )
            )

        return blend(denoise_windows, x, boxes, batch=windows_per_call(guided=guided))

    return denoise


def windows_per_call(*, guided: bool) -> int:
    """Returns the number of windows in one network call: as many as the mesh in use can share."""
    return max(1, num_shards("batch") // (2 if guided else 1))
