"""UNet and ControlNet whose dense layers and convolutions work on 8-bit integers (library qwix).

Every output channel of a kernel gets a scale, once; what comes into a layer gets its scales anew in
every call. Both sides have to be integers: qwix has no convolution of integer weights alone. The
products of attention and all norms stay as they are.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.text_kv_cache import compute_text_kv
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig

# The products of attention go by another name.
_OPERATIONS = ("dot_general", "conv_general_dilated")
# The only method that qwix can take over; all calls go through it.
_METHODS = ("with_features",)


def quantised(
    network: FunctionalModule, params: Params, config: UNet3DConfig
) -> tuple[FunctionalModule, Params]:
    """The network in 8-bit integers.

    Args:
      network: UNet and ControlNet.
      params: of it.
      config: of both.

    Returns:
      The network to call, which has no initialisers, and its parameters: of each `NAME.kernel`
      `NAME.kernel.array.qvalue` in int8 and `NAME.kernel.array.scale`. What projects the text stays
      as it is: it runs once for each clip.

    Raises:
      InputError: qwix is not installed.
    """
    qwix = _qwix()
    rule = qwix.QuantizationRule(weight_qtype=jnp.int8, act_qtype=jnp.int8, op_names=_OPERATIONS)

    def with_integers(params: Params) -> nnx.Module:
        # qwix learns from a call how each kernel is used: one at the least size.
        module = network.bind(params)
        remainder, modulus = config.rows_modulus
        x = jnp.zeros((1, 1, remainder or modulus, modulus, config.latent_channels))
        one = jnp.ones(1, int)
        keys = compute_text_kv(module, jnp.zeros((1, 1, config.context_width)))
        conditions = {"hint": x, "hint_t": one, "scale": one, "key_index": one[None] - 1}
        return qwix.quantize_model(
            module, qwix.PtqProvider([rule]), x, one, keys, conditions, methods=_METHODS
        )

    # Traced twice, run never: the compiler leaves out the call, whose result is not asked for.
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
