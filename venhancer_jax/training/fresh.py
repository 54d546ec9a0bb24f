"""Fresh parameters, each made in the place where it will lie.

One program for the whole network would take minutes to compile, most of it for hundreds of equal
draws of random numbers. So each parameter is made by a program of its own, and parameters that
differ only in their key share one: the full network has two thousand of them and a hundred
programs.
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
    """What `network.init(key)` gives, without a full copy on any device.

    Args:
      network: whose layers say how a parameter starts.
      key: where all values come from, the same on every process; they do not depend on the
        shardings.
      shardings: of each parameter.
    """
    closed = _trace(network)
    whole, tables = closed.jaxpr, dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    keys = {variable: i for i, variable in enumerate(whole.invars, 1)}
    made_by = {v: (i, eqn) for i, eqn in enumerate(whole.eqns) for v in eqn.outvars}
    makers: dict[tuple[Any, ...], Callable[..., jax.Array]] = {}
    params = {}
    for name, leaf in zip(network.shapes, whole.outvars, strict=True):
        part, numbers = _part(whole, leaf, keys, made_by)
        consts = [tables[variable] for variable in part.constvars]
        # The text of a program says everything that it does, but for what its arrays hold.
        kind = (str(part), shardings[name], *map(id, consts))
        if kind not in makers:
            makers[kind] = _maker(core.ClosedJaxpr(part, consts), shardings[name])
        params[name] = makers[kind](key, np.array(numbers, np.uint32))
    return params


class _Given:
    """Hands out the keys that it is given; stands in for `functional.KeyStream`."""

    def __init__(self, keys: list[jax.Array]):
        self._keys = iter(keys)

    def params(self) -> jax.Array:
        return next(self._keys)


def _trace(network: FunctionalModule) -> core.ClosedJaxpr:
    """The parameters in the order of the graph, as a program of one key after the other."""

    def leaves(keys: list[jax.Array]) -> list[jax.Array]:
        _, state = nnx.split(network.build(cast(nnx.Rngs, _Given(keys))))
        return [variable[...] for _, variable in nnx.to_flat_state(state)]

    # No layer takes more than one key for each of its parameters.
    one = jax.eval_shape(lambda: jax.random.key(0))
    return jax.make_jaxpr(leaves)([one] * len(network.leaves))


def _part(
    whole: core.Jaxpr,
    leaf: Any,
    keys: Mapping[Any, int],
    made_by: Mapping[Any, tuple[int, core.JaxprEqn]],
) -> tuple[core.Jaxpr, list[int]]:
    """What it takes to make one parameter, and the numbers of its keys as `KeyStream` counts."""
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
        if variable not in made_by:
            tables.add(variable)
            continue
        place, eqn = made_by[variable]
        if place not in eqns:
            eqns[place] = eqn
            pending.extend(eqn.invars)
    part = whole.replace(
        constvars=[variable for variable in whole.constvars if variable in tables],
        invars=[used[i] for i in sorted(used)],
        outvars=[leaf],
        eqns=[eqns[i] for i in sorted(eqns)],
    )
    return part, sorted(used)


def _maker(part: core.ClosedJaxpr, sharding: jax.sharding.Sharding) -> Callable[..., jax.Array]:
    """A compiled `(key, numbers) -> parameter`."""
    run = core.jaxpr_as_fun(part)

    def make(key: jax.Array, numbers: jax.Array) -> jax.Array:
        (parameter,) = run(*(jax.random.fold_in(key, number) for number in numbers))
        return parameter

    return jax.jit(make, out_shardings=sharding)
