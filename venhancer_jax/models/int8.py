"""A denoiser in 8-bit integers, by the library qwix.

Dense layers and convolutions multiply integers; attention and norms are unchanged. Each output
channel of a kernel has one scale, computed once; activations are quantised in every call, since
qwix has no convolution of integer weights alone.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.text_kv_cache import compute_text_kv

# The products of attention go by another name.
_OPERATIONS = ("dot_general", "conv_general_dilated")
# The method that qwix quantises; all calls go through it.
_METHODS = ("with_features",)


class DenoiserConfig(Protocol):
    """Sizes of a denoiser."""

    @property
    def context_width(self) -> int:
        """Returns the channels of the text features."""
        ...

    def smallest_inputs(self) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Returns noisy latents `[1, 1, h, w, C]` of the least size, and conditions for them."""
        ...


def quantised(
    network: FunctionalModule, params: Params, config: DenoiserConfig
) -> tuple[FunctionalModule, Params]:
    """Quantises a network to 8-bit integers.

    Args:
      network: denoiser with the method `with_features`.
      params: parameters of the denoiser, flat dictionary.
      config: sizes of the denoiser.

    Returns:
      Integer network, which cannot be initialised, and its parameters: `NAME.kernel.array.qvalue`
      in int8 and `NAME.kernel.array.scale` for each `NAME.kernel`. Projections of the text, which
      run once per clip, are not quantised.

    Raises:
      InputError: qwix is not installed.
    """
    qwix = _qwix()
    rule = qwix.QuantizationRule(weight_qtype=jnp.int8, act_qtype=jnp.int8, op_names=_OPERATIONS)

    def with_integers(params: Params) -> nnx.Module:
        # qwix learns from a call how each kernel is used: a call at the smallest size.
        module = network.bind(params)
        x, conditions = config.smallest_inputs()
        keys = compute_text_kv(module, jnp.zeros((1, 1, config.context_width)))
        return qwix.quantize_model(
            module, qwix.PtqProvider([rule]), x, jnp.ones(1, int), keys, conditions,
            methods=_METHODS,
        )  # fmt: skip

    # Traced twice, never run: the compiler drops the call, whose result is not used.
    graph, state = nnx.split(jax.eval_shape(with_integers, params))
    leaves = tuple((path, leaf.get_value()) for path, leaf in nnx.to_flat_state(state))
    # Another constructor: networks of equal constructors are equal.
    integer = dataclasses.replace(
        network, build=_Quantised(network.build), graph=graph, leaves=leaves
    )

    def values(params: Params) -> tuple[jax.Array, ...]:
        state = nnx.state(with_integers(params))
        return tuple(leaf.get_value() for _, leaf in nnx.to_flat_state(state))

    return integer, dict(zip(integer.shapes, jax.jit(values)(params), strict=True))


@dataclasses.dataclass(frozen=True)
class _Quantised:
    """Stands for the constructor of an integer network, which is never built from keys."""

    network: Callable[[nnx.Rngs], nnx.Module]

    def __call__(self, rngs: nnx.Rngs) -> nnx.Module:
        raise NotImplementedError("an integer network is quantised from a full one")


def _qwix() -> Any:
    try:
        return importlib.import_module("qwix")
    except ImportError as error:
        raise InputError(
            f"weights 'int8' need the package qwix, which cannot be imported ({error})."
            " Install it: pip install 'venhancer-jax[int8]'"
        ) from error
