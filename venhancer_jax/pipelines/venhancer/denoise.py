"""The denoiser of a whole clip: windows, guidance, reuse of earlier steps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.diffusion.solvers import Denoise
from venhancer_jax.models.layers.text_kv_cache import TextKVCache
from venhancer_jax.pipelines.pieces import Box, blend, faded_spans, whole_span
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.venhancer import programs
from venhancer_jax.pipelines.venhancer.conditions import Conditions
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import TimePlan
from venhancer_jax.pipelines.venhancer.step_cache import CachedSteps, plan_steps_reuse
from venhancer_jax.sharding.mesh import num_shards


def windowed_denoiser(
    denoiser: LoadedNetwork,
    conditions: Conditions,
    text: TextKVCache,
    schedule: Schedule,
    time: TimePlan,
    times: Sequence[int],
    options: VEnhancerOptions,
) -> Denoise:
    """Returns a function from noisy to clean latents of a clip, window by window.

    Args:
      denoiser: UNet and ControlNet.
      conditions: conditions of the whole clip.
      text: keys and values of prompt and negative prompt, or of the prompt alone.
      schedule: noise levels of the denoiser.
      time: frames and windows of the grid.
      times: time step of every network call of the solver, in order.
      options: options of the user.

    Returns:
      `(x [1, F, h, w, C], t) -> x0`, cross-faded linearly where windows overlap.
    """
    guidance = jnp.float32(options.guidance_scale), jnp.float32(options.guidance_rescale)
    guided = jax.tree.leaves(text)[0].shape[0] == 2
    plans = plan_steps_reuse(times, options, guided=guided)
    steps: dict[tuple[int, ...], CachedSteps] = {}
    height, width = conditions.start.shape[2:4]
    rows, columns = whole_span(height), whole_span(width)
    boxes = [Box(frames, rows, columns) for frames in faded_spans(time.windows)]

    def denoise(x: jax.Array, t: np.integer) -> jax.Array:
        levels = jnp.asarray(schedule.alphas[t]), jnp.asarray(schedule.sigmas[t])

        def denoise_windows(latents: jax.Array, windows: Sequence[Box]) -> jax.Array:
            cached = steps.setdefault(tuple(b.frames.start for b in windows), CachedSteps(plans))
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
