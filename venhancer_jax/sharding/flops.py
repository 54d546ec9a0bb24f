"""Counts the floating-point operations of a traced function.

Only matrix products and convolutions count, two operations per multiply-add, and loop bodies as
often as they run, where XLA counts them once.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Counts the floating-point operations of one call.

    Args:
      function: function that JAX can trace.
      *args: arrays or `jax.ShapeDtypeStruct`.
      **kwargs: arrays or `jax.ShapeDtypeStruct`.

    Returns:
      Twice the number of multiply-adds in matrix products and convolutions.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args, **kwargs).jaxpr)


def _of_jaxpr(jaxpr: core.Jaxpr) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: core.JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    operands: list[Any] = [variable.aval for variable in equation.invars]
    results: list[Any] = [variable.aval for variable in equation.outvars]
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return 2 * results[0].size * math.prod(operands[0].shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel = operands[1].shape
        out_channels = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2 * results[0].size * (math.prod(kernel) // out_channels)
    if name == "cond":
        return max(_of_jaxpr(branch.jaxpr) for branch in params["branches"])
    if name.startswith("dot_product_attention_fwd"):  # cuDNN's, [B, N, heads, head_dim]
        return 4 * operands[0].size * operands[1].shape[1]
    if name == "pallas_call":  # the kernel runs once for each point of its grid
        return _of_jaxpr(params["jaxpr"]) * math.prod(params["grid_mapping"].grid)
    inner = sum(_of_jaxpr(jaxpr) for jaxpr in core.jaxprs_in_params(params))
    if name == "shard_map":  # it is written for one device
        return inner * params["mesh"].size
    return inner * (params["length"] if name == "scan" else 1)
