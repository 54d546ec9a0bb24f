"""One call of the denoising networks with random weights, for the benchmarks."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks.measure import random_params
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.attention import IMPLEMENTATIONS
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.step_cache import StepCache, StepPlan
from venhancer_jax.pipelines.venhancer.spec import PRESETS

_FRAMES = flags.DEFINE_integer("frames", 5, "frames of the window")
_HEIGHT = flags.DEFINE_integer("height", 34, "rows of the latents, 2 modulo 8")
_WIDTH = flags.DEFINE_integer("width", 32, "columns of the latents, 0 modulo 8")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16", "float16"], "weights and activations"
)
_GUIDANCE = flags.DEFINE_bool("guidance", False, "with the prompt and without it, as in sampling")
_ATTENTION = flags.DEFINE_enum("attention", "auto", IMPLEMENTATIONS, "implementation of attention")


@dataclasses.dataclass(frozen=True)
class DenoiseCall:
    """One call of `programs.denoise`, without parameters.

    Attributes:
      network: UNet and ControlNet.
      plan: step that computes everything, with guidance or without.
      shapes: shape and type of every parameter.
      inputs: arguments behind the parameters.
      facts: preset, shape, dtype, guidance and attention, for the report.
    """

    network: FunctionalModule
    plan: StepPlan
    shapes: dict[str, jax.ShapeDtypeStruct]
    inputs: tuple[Any, ...]
    facts: dict[str, Any]

    def params(self) -> Params:
        """Creates parameters of random values."""
        return random_params(self.network, self.facts["dtype"])


def denoise_call(preset: str) -> DenoiseCall:
    """Builds a call of `programs.denoise` from the flags.

    Args:
      preset: name of the network's size.
    """
    config = PRESETS[preset]["venhancer"]
    assert isinstance(config, UNet3DConfig)
    dtype = jnp.dtype(_DTYPE.value)
    changes: dict[str, Any] = {"dtype": dtype, "attention": _ATTENTION.value}
    config = dataclasses.replace(config, **changes)
    network = catalog.build("venhancer", config)
    frames = _FRAMES.value
    shape = (1, frames, _HEIGHT.value, _WIDTH.value, config.latent_channels)
    x, one, index = jax.random.normal(jax.random.key(0), shape), jnp.ones(1, int), range(frames)
    conditions = {
        "hint": x[:, ::2],
        "hint_t": one,
        "scale": jnp.ones(1),
        "key_index": jnp.array([[-1 if i % 2 else i // 2 for i in index]]),
    }
    text = jnp.ones((2 if _GUIDANCE.value else 1, 77, config.context_width))
    levels, guidance = (jnp.float32(0.7),) * 2, (jnp.float32(7.5), jnp.float32(0.2))
    facts = {
        "preset": preset,
        "shape": shape,
        "dtype": dtype.name,
        "guidance": _GUIDANCE.value,
        "attention": _ATTENTION.value,
    }
    return DenoiseCall(
        network=network,
        plan=StepPlan(difference="compute" if _GUIDANCE.value else None),
        shapes={n: jax.ShapeDtypeStruct(s.shape, dtype) for n, s in network.shapes.items()},
        inputs=(x, jnp.int32(500), levels, text, guidance, conditions, StepCache()),
        facts=facts,
    )
