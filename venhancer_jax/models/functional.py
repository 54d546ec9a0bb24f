"""Networks as pure functions of a flat parameter dictionary.

A Flax NNX module is built abstractly (no memory), split into a static graph and named parameters,
and called as `network(params, *inputs)` under plain `jax.jit`. Parameter names are public API:
checkpoints store them and the rules of the converter refer to them.
"""

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, cast

import jax
from flax import nnx

# "encoder.input_blocks.1.resnet.conv1.kernel" -> array
Params = dict[str, jax.Array]
Path = tuple[Any, ...]  # strings and integers


@dataclasses.dataclass(frozen=True)
class Constructor:
    """A module class and its config: constructors with equal configs are equal.

    Attributes:
      module: class, called with the config and random-number streams.
      config: sizes of the module, hashable.
    """

    module: Callable[[Any, nnx.Rngs], nnx.Module]
    config: Hashable

    def __call__(self, rngs: nnx.Rngs) -> nnx.Module:
        """Creates the module with fresh parameters."""
        return self.module(self.config, rngs)


@dataclasses.dataclass(frozen=True)
class FunctionalModule:
    """A network without its parameters, which may be closed over or static in `jit`.

    Networks are equal if their constructors are, so that a network that is built again runs the
    programs that were compiled for the first one. (Their graphs hold initialisers, which are never
    equal.)

    Attributes:
      build: constructor of the module from random-number streams.
      graph: static part of the module.
      leaves: path in the module, shape and type of each parameter, in the order of the graph.
    """

    build: Callable[[nnx.Rngs], nnx.Module]
    graph: nnx.GraphDef = dataclasses.field(compare=False)
    leaves: tuple[tuple[Path, jax.ShapeDtypeStruct], ...] = dataclasses.field(compare=False)

    @property
    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns shape and type of every parameter, by name."""
        return {_name(path): shape for path, shape in self.leaves}

    def init(self, key: jax.Array) -> Params:
        """Creates fresh parameters by the initialisers of the layers."""
        _, state = nnx.split(_build(self.build, key))
        return {_name(path): variable[...] for path, variable in nnx.to_flat_state(state)}

    def bind(self, params: Params) -> Any:
        """Returns the module with its parameters set, for calling its parts."""
        state = nnx.from_flat_state([(path, params[_name(path)]) for path, _ in self.leaves])
        return nnx.merge(self.graph, state)

    def __call__(self, params: Params, *args: Any, **kwargs: Any) -> Any:
        """Runs the module's `__call__` on `args` and `kwargs` with `params` as its parameters."""
        return self.bind(params)(*args, **kwargs)


class KeyStream:
    """A stand-in for `nnx.Rngs`, whose counter makes tracing a large network take minutes.

    Hands out a new key for each parameter, in the order in which layers are created.
    """

    def __init__(self, key: jax.Array):
        self._key = key
        self._count = 0

    def params(self) -> jax.Array:
        """Returns the next key."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


# Tracing the constructor of a large network takes seconds.
@functools.lru_cache(maxsize=64)
def functionalize(build: Callable[[nnx.Rngs], nnx.Module]) -> FunctionalModule:
    """Turns a module constructor into a `FunctionalModule` without allocating parameters.

    Args:
      build: constructor of the module from random-number streams; equal constructors share one
        result, so use a `Constructor` for what is built more than once.
    """
    graph, state = nnx.split(jax.eval_shape(lambda: _build(build, jax.random.key(0))))
    leaves = tuple((path, leaf.get_value()) for path, leaf in nnx.to_flat_state(state))
    return FunctionalModule(build, graph, leaves)


def count_parameters(params: Params | dict[str, jax.ShapeDtypeStruct]) -> int:
    """Counts the scalars in a parameter dictionary or in its shapes."""
    return sum(leaf.size for leaf in params.values())


def with_prefix(params: Params, prefix: str) -> Params:
    """Selects the parameters whose names start with `prefix.` and drops it from their names."""
    start = prefix + "."
    return {name.removeprefix(start): x for name, x in params.items() if name.startswith(start)}


def _build(build: Callable[[nnx.Rngs], nnx.Module], key: jax.Array) -> nnx.Module:
    return build(cast(nnx.Rngs, KeyStream(key)))


def _name(path: Path) -> str:
    return ".".join(str(part) for part in path)
