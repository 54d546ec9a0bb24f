"""The compiled denoising step of VEnhancer.

Numbers that change between runs (guidance, noise levels, conditions) are arrays, so that a change
of prompt, steps or guidance compiles nothing.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat

from venhancer_jax.diffusion.guidance import guide, v_to_x0
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers import text_kv_cache
from venhancer_jax.models.layers.text_kv_cache import Text, TextKVCache
from venhancer_jax.pipelines.venhancer.step_cache import FeatureSource, StepCache, StepPlan
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain
from venhancer_jax.sharding.params import all_gathered


@partial(jax.jit, static_argnames="network")
def compute_text_kv(network: FunctionalModule, params: Params, text: jax.Array) -> TextKVCache:
    """Projects features `[B, L, D]` to keys and values for every transformer of the networks."""
    return text_kv_cache.compute_text_kv(network.bind(all_gathered(params)), text)


@partial(jax.jit, static_argnames=("network", "plan"))
def denoise(
    network: FunctionalModule,
    plan: StepPlan,
    params: Params,
    x: jax.Array,
    t: np.integer,
    levels: tuple[jax.Array, jax.Array],
    text: Text,
    guidance: tuple[jax.Array, jax.Array],
    conditions: dict[str, jax.Array],
    cache: StepCache,
) -> tuple[jax.Array, StepCache]:
    """Computes the clean latents of some windows.

    Args:
      network: UNet and ControlNet.
      plan: what is computed, stored and reused; each plan is a program of its own.
      params: UNet and ControlNet parameters, flat dictionary.
      x: noisy latents `[n, F, h, w, C]` of n windows.
      t: whole time step `[]`.
      levels: signal level alpha and noise level sigma at `t`.
      text: features of prompt and negative prompt `[2, L, D]`, or their keys and values; of the
        prompt alone without guidance.
      guidance: guidance scale and rescale.
      conditions: hint `[n, K, h, w, C]`, hint_t `[n]`, scale `[n]`, key_index `[n, F]`.
      cache: results of earlier calls that `plan` reuses.

    Returns:
      Clean latents `[n, F, h, w, C]` float32, and the results that `plan` stores.
    """
    windows, copies = x.shape[0], plan.guidance_batch

    def for_guidance(value: jax.Array) -> jax.Array:
        return repeat(value, "n ... -> (copies n) ...", copies=copies)

    def for_windows(value: jax.Array) -> jax.Array:
        return repeat(value[:copies], "copies ... -> (copies n) ...", n=windows)

    def reused(source: FeatureSource, value: Any) -> Any:
        # Results of a guidance pair also serve a call of its conditional part.
        return jax.tree.map(lambda y: y[: copies * windows], value) if source == "reuse" else None

    v, control, deep_features = network.bind(all_gathered(params)).with_features(
        constrain(for_guidance(x), VIDEO_AXES),
        jnp.broadcast_to(jnp.asarray(t), (copies * windows,)),
        jax.tree.map(for_windows, text),
        jax.tree.map(for_guidance, conditions),
        control=reused(plan.control, cache.control),
        deep=reused(plan.deep_features, cache.deep_features),
    )
    difference = None
    if plan.difference is not None:
        conditional = v[:windows]
        # A difference of v has the same size at all noise levels, so its pull on the clean latents
        # fades with the noise as that of a new difference does.
        difference = cache.difference if copies == 1 else conditional - v[windows:]
        unconditional = conditional - difference if copies == 1 else v[windows:]
        v = guide(conditional, unconditional, *guidance)
    stored = StepCache(
        difference=difference if plan.difference == "store" else None,
        control=control if plan.control == "store" else None,
        deep_features=deep_features if plan.deep_features == "store" else None,
    )
    return v_to_x0(x, v, *levels), stored
