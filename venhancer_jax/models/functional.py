"""Networks as pure functions of a flat parameter dictionary.

A Flax NNX module is built abstractly (no memory), split into a static graph and named parameters,
and called as `network(params, *inputs)` under plain `jax.jit`. Parameter names are public API:
they are what checkpoints store and what the converter rules speak of.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import jax
from flax import nnx

# "encoder.input_blocks.1.resnet.conv1.kernel" -> array
Params = dict[str, jax.Array]
Path = tuple[Any, ...]  # strings and integers


@dataclasses.dataclass(frozen=True)
class FunctionalModule:
    """A network without its parameters; hashable, so it may be closed over or static in `jit`.

    Attributes:
      build: makes the module from random-number streams.
      graph: the static part of the module.
      leaves: place in the module, shape and type of each parameter, in the order of the graph.
    """

    build: Callable[[nnx.Rngs], nnx.Module]
    graph: nnx.GraphDef
    leaves: tuple[tuple[Path, jax.ShapeDtypeStruct], ...]

    @property
    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of every parameter."""
        return {_name(path): shape for path, shape in self.leaves}

    def init(self, key: jax.Array) -> Params:
        """Fresh parameters from the initialisers of the layers."""
        _, state = nnx.split(_build(self.build, key))
        return {_name(path): variable[...] for path, variable in nnx.to_flat_state(state)}

    def bind(self, params: Params) -> Any:
        """The module with these parameters in place, for calling its parts."""
        state = nnx.from_flat_state([(path, params[_name(path)]) for path, _ in self.leaves])
        return nnx.merge(self.graph, state)

    def __call__(self, params: Params, *args: Any, **kwargs: Any) -> Any:
        """Runs the module's `__call__` with these parameters."""
        return self.bind(params)(*args, **kwargs)


class KeyStream:
    """A key for each parameter, in order.

    Stands in for `nnx.Rngs`, whose counter makes tracing a large network take minutes.
    """

    def __init__(self, key: jax.Array):
        self._key = key
        self._count = 0

    def params(self) -> jax.Array:
        """The next key."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


def functionalize(build: Callable[[nnx.Rngs], nnx.Module]) -> FunctionalModule:
    """Turns a module constructor into a `FunctionalModule`, allocating nothing."""
    graph, state = nnx.split(jax.eval_shape(lambda: _build(build, jax.random.key(0))))
    leaves = tuple((path, leaf.get_value()) for path, leaf in nnx.to_flat_state(state))
    return FunctionalModule(build, graph, leaves)


def count_parameters(params: Params | dict[str, jax.ShapeDtypeStruct]) -> int:
    """Number of scalars in a parameter dictionary or its shapes."""
    return sum(leaf.size for leaf in params.values())


def with_prefix(params: Params, prefix: str) -> Params:
    """The parameters under `prefix.`, renamed to start after it."""
    start = prefix + "."
    return {name.removeprefix(start): x for name, x in params.items() if name.startswith(start)}


def _build(build: Callable[[nnx.Rngs], nnx.Module], key: jax.Array) -> nnx.Module:
    return build(cast(nnx.Rngs, KeyStream(key)))


def _name(path: Path) -> str:
    return ".".join(str(part) for part in path)
