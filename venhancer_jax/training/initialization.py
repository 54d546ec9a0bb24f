"""Fresh parameters, each computed where it is stored.

One program for the whole network would take minutes to compile, most of it for hundreds of equal
draws of random numbers. So each parameter has a program of its own, and parameters that differ only
in their key share one: the full network has two thousand parameters and a hundred programs.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import numpy as np
from flax import nnx
from jax.extend import core

from venhancer_jax.models.functional import FunctionalModule, Params


def init_sharded_params(
    network: FunctionalModule, key: jax.Array, shardings: Mapping[str, jax.sharding.Sharding]
) -> Params:
    """Computes parameters of `network.init(key)`, without a full copy on any device.

    Args:
      network: network whose layers initialize the parameters.
      key: random key, equal on every process; values do not depend on the shardings.
      shardings: sharding of each parameter that is wanted, by name.
    """
    closed = _trace(network)
    whole, tables = closed.jaxpr, dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    keys = {variable: i for i, variable in enumerate(whole.invars, 1)}
    producers = {v: (i, eqn) for i, eqn in enumerate(whole.eqns) for v in eqn.outvars}
    programs: dict[tuple[Any, ...], Callable[..., jax.Array]] = {}
    params = {}
    for name, leaf in zip(network.shapes, whole.outvars, strict=True):
        if name not in shardings:
            continue
        part, numbers = _part(whole, leaf, keys, producers)
        consts = [tables[variable] for variable in part.constvars]
        # The text of a program determines it, except for the contents of its arrays.
        kind = (str(part), shardings[name], *map(id, consts))
        if kind not in programs:
            programs[kind] = _initializer(core.ClosedJaxpr(part, consts), shardings[name])
        params[name] = programs[kind](key, np.array(numbers, np.uint32))
    return params


class _KeySequence:
    """A sequence of keys in place of `functional.KeyStream`."""

    def __init__(self, keys: list[jax.Array]):
        self._keys = iter(keys)

    def params(self) -> jax.Array:
        return next(self._keys)


def _trace(network: FunctionalModule) -> core.ClosedJaxpr:
    """Traces the parameters, in the order of the graph, as a function of a list of keys."""

    def leaves(keys: list[jax.Array]) -> list[jax.Array]:
        _, state = nnx.split(network.build(cast(nnx.Rngs, _KeySequence(keys))))
        return [variable[...] for _, variable in nnx.to_flat_state(state)]

    # No layer takes more than one key for each of its parameters.
    one = jax.eval_shape(lambda: jax.random.key(0))
    return jax.make_jaxpr(leaves)([one] * len(network.leaves))


def _part(
    whole: core.Jaxpr,
    leaf: Any,
    keys: Mapping[Any, int],
    producers: Mapping[Any, tuple[int, core.JaxprEqn]],
) -> tuple[core.Jaxpr, list[int]]:
    """Returns the program of one parameter, and the indices of its keys in a `KeyStream`."""
    eqns: dict[int, core.JaxprEqn] = {}
    used: dict[int, Any] = {}
    tables: set[Any] = set()
    pending = [leaf]
    while pending:
        variable = pending.pop()
        if isinstance(variable, core.Literal):
            continue
        if variable in keys:
            used[keys[variable]] = variable
            continue
        if variable not in producers:
            tables.add(variable)
            continue
        index, eqn = producers[variable]
        if index not in eqns:
            eqns[index] = eqn
            pending.extend(eqn.invars)
    part = whole.replace(
        constvars=[variable for variable in whole.constvars if variable in tables],
        invars=[used[i] for i in sorted(used)],
        outvars=[leaf],
        eqns=[eqns[i] for i in sorted(eqns)],
    )
    return part, sorted(used)


def _initializer(
    part: core.ClosedJaxpr, sharding: jax.sharding.Sharding
) -> Callable[..., jax.Array]:
    """Returns a jitted function `(key, numbers) -> parameter`."""
    run = core.jaxpr_as_fun(part)

    def initialize(key: jax.Array, numbers: jax.Array) -> jax.Array:
        (parameter,) = run(*(jax.random.fold_in(key, number) for number in numbers))
        return parameter

    return jax.jit(initialize, out_shardings=sharding)
