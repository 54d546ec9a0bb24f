"""Estimates memory by counting arrays, where no compiler for the chips is installed."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

# Computed where they are used, without memory.
_FREE = {"broadcast_in_dim", "iota", "reshape", "squeeze", "expand_dims", "stop_gradient"}
# Cannot reuse the memory of their operands.
_NOT_IN_PLACE = {
    "dot_general",
    "conv_general_dilated",
    "transpose",
    "gather",
    "concatenate",
    "pad",
    "rev",
}


def activation_bytes(function: Callable[..., Any], *args: Any) -> int:
    """Estimates the most bytes of intermediates and results that are alive together, on all chips.

    An array is alive from where it is computed to its last use, those of a loop body once.
    Element-wise operations reuse the memory of operands that end there; nothing else is fused, so
    that a compiler needs rather less.

    Args:
      function: function that JAX can trace.
      *args: arguments, arrays or shapes.
    """
    shapes = without_shardings(args)
    return _peak(jax.make_jaxpr(function)(*shapes).jaxpr)


def without_shardings(tree: Any) -> Any:
    """Replaces arrays by shapes and types, which need no devices."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _peak(jaxpr: core.Jaxpr) -> int:
    last_use: dict[Any, int] = {}
    for i, equation in enumerate(jaxpr.eqns):
        last_use |= {v: i for v in equation.invars if not isinstance(v, core.Literal)}
    last_use |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    alive: dict[Any, int] = {}
    total = peak = 0
    for i, equation in enumerate(jaxpr.eqns):
        name = equation.primitive.name
        results = {v: 0 if name in _FREE else _bytes(v) for v in equation.outvars if v in last_use}
        inner = [_peak(_open(each)) for each in core.jaxprs_in_params(equation.params)]
        ended = [v for v in equation.invars if not isinstance(v, core.Literal) and last_use[v] == i]
        freed = sum(alive.pop(v, 0) for v in dict.fromkeys(ended))
        new = sum(results.values())
        reused = min(freed, new) if not inner and name not in _NOT_IN_PLACE else 0
        # A scan holds the results of all iterations beside the needs of one.
        needed = sum(inner) + new if name == "scan" else max([new, *inner])
        peak = max(peak, total + needed - reused)
        total += new - freed
        alive |= results
    return peak


def _open(jaxpr: Any) -> core.Jaxpr:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _bytes(variable: Any) -> int:
    aval = variable.aval
    return math.prod(aval.shape) * getattr(aval.dtype, "itemsize", 4)
