"""Memory of a function by counting its arrays, where nothing can be compiled for the chips."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

# Made on the fly where they are used.
_FREE = {"broadcast_in_dim", "iota", "reshape", "squeeze", "expand_dims", "stop_gradient"}
# May write over an operand that nobody needs any more.
_MOVING = {
    "dot_general",
    "conv_general_dilated",
    "transpose",
    "gather",
    "concatenate",
    "pad",
    "rev",
}


def activation_bytes(function: Callable[..., Any], *args: Any) -> int:
    """The most bytes of results and intermediates that are needed at once, over all devices.

    Every array is held from where it is made to where it is last used, those of a loop body once.
    Element-wise operations write over what is no longer needed; beyond that nothing is fused, so
    that a compiler needs rather less, and never much more.

    Args:
      function: anything that JAX can trace.
      *args: arrays or their shapes.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
    return _peak(jax.make_jaxpr(function)(*shapes).jaxpr)


def _peak(jaxpr: core.Jaxpr) -> int:
    last: dict[Any, int] = {}
    for i, equation in enumerate(jaxpr.eqns):
        last |= {v: i for v in equation.invars if not isinstance(v, core.Literal)}
    last |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    held: dict[Any, int] = {}
    live = peak = 0
    for i, equation in enumerate(jaxpr.eqns):
        name = equation.primitive.name
        made = {v: 0 if name in _FREE else _bytes(v) for v in equation.outvars if v in last}
        inside = [_peak(_open(each)) for each in core.jaxprs_in_params(equation.params)]
        ends = [v for v in equation.invars if not isinstance(v, core.Literal) and last[v] == i]
        freed = sum(held.pop(v, 0) for v in dict.fromkeys(ends))
        results = sum(made.values())
        in_place = freed if not inside and name not in _MOVING else 0
        # Of a scan the results of all turns are held, beside what one turn needs.
        at_once = sum(inside) + results if name == "scan" else max([results, *inside])
        peak = max(peak, live + at_once - min(in_place, results))
        live += results - freed
        held |= made
    return peak


def _open(jaxpr: Any) -> core.Jaxpr:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _bytes(variable: Any) -> int:
    aval = variable.aval
    return math.prod(aval.shape) * getattr(aval.dtype, "itemsize", 4)
