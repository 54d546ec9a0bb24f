"""The rule engine: which tensors of a PyTorch state dict make which of our parameters, and how.

A table maps the name of each of our layers to the layer of the state dict that it comes from. The
tensors follow from the kind of layer:

  ours                      state dict
  kernel [in, out]          weight [out, in], with trailing ones for convolutions of one pixel
  kernel [kh, kw, in, out]  weight [out, in, kh, kw], with a trailing one for (kt, 1, 1)
  scale, embedding          weight
  bias                      bias
  named by the rule itself  the tensor that the rule names, as it is
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """Layers of a state dict that make one of ours.

    Attributes:
      names: one layer, or several whose tensors are stacked along their first axis.
      ones: trailing axes of length one that the weight has beyond ours.
      joint: put between layer and tensor name; `_` in `attn.in_proj_weight`.
    """

    names: tuple[str, ...]
    ones: int = 0
    joint: str = "."


Table = Mapping[str, str | Source]


def linear(*names: str) -> Source:
    """A linear layer, or several stacked into one."""
    return Source(names)


def conv1d(name: str) -> Source:
    """A one-dimensional convolution of width one, a linear layer of ours."""
    return Source((name,), ones=1)


def conv1x1(name: str) -> Source:
    """A two-dimensional convolution of one pixel, a linear layer of ours."""
    return Source((name,), ones=2)


def temporal_conv(name: str) -> Source:
    """A `(3, 1, 1)` convolution, a two-dimensional `(3, 1)` one of ours."""
    return Source((name,), ones=1)


def under(ours: str, theirs: str, table: Table) -> dict[str, Source]:
    """The table with both sides moved below a prefix."""
    moved = {}
    for name, source in table.items():
        source = source if isinstance(source, Source) else Source((source,))
        names = tuple(f"{theirs}{name}" for name in source.names)
        moved[f"{ours}{name}"] = dataclasses.replace(source, names=names)
    return moved


@dataclasses.dataclass(frozen=True)
class Entry:
    """One of our parameters and the tensors that make it.

    Attributes:
      ours: name of the parameter.
      shape: of the parameter.
      theirs: names of the tensors.
      their_shape: of each of the tensors.
      is_kernel: whether the axes change their order.
    """

    ours: str
    shape: tuple[int, ...]
    theirs: tuple[str, ...]
    their_shape: tuple[int, ...]
    is_kernel: bool

    def from_torch(self, tensors: list[np.ndarray]) -> np.ndarray:
        """Our parameter."""
        tensor = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        if not self.is_kernel:
            return tensor.reshape(self.shape)
        ranked = tensor.reshape(self.shape[-1], self.shape[-2], *self.shape[:-2])
        return np.ascontiguousarray(ranked.transpose(*range(2, ranked.ndim), 1, 0))

    def to_torch(self, parameter: np.ndarray) -> list[np.ndarray]:
        """The tensors, the inverse of `from_torch`."""
        if self.is_kernel:
            parameter = parameter.transpose(-1, -2, *range(parameter.ndim - 2))
        parts = np.split(np.ascontiguousarray(parameter), len(self.theirs))
        return [part.reshape(self.their_shape) for part in parts]


@dataclasses.dataclass(frozen=True)
class Layouts:
    """The layouts in which checkpoints of one network are published.

    Attributes:
      tables: functions from the network's config to its table, by name of the layout.
      detect: function from the requested config and the names of all tensors to the config with
        the parts that are stored, and the name of the layout.
      prefix: start of the network's tensor names in checkpoints of several networks.
      ignored: starts of tensor names that belong to other networks.
    """

    tables: Mapping[str, Callable[[Any], Table]]
    detect: Callable[[Any, Collection[str]], tuple[Any, str]]
    prefix: str = ""
    ignored: tuple[str, ...] = ()


def entries(table: Table, shapes: Mapping[str, tuple[int, ...]]) -> list[Entry]:
    """Spells a table out for all parameters of a network.

    Args:
      table: for each of our layers.
      shapes: of each of our parameters by name.

    Returns:
      One entry for each parameter, in the order of `shapes`.

    Raises:
      InputError: a parameter has no rule, or a rule no parameter.
    """
    found, unused = [], set(table)
    for name, shape in shapes.items():
        layer, _, leaf = name.rpartition(".")
        bare = name in table
        rule = table.get(name if bare else layer)
        if rule is None:
            raise InputError(f"no rule for parameter {name!r} {shape}")
        unused.discard(name if bare else layer)
        source = rule if isinstance(rule, Source) else Source((rule,))
        tensor = "bias" if leaf == "bias" else "weight"
        theirs = tuple(n if bare else f"{n}{source.joint}{tensor}" for n in source.names)
        is_kernel = leaf == "kernel" and not bare
        their_shape = _their_shape(shape, source, is_kernel=is_kernel)
        found.append(Entry(name, shape, theirs, their_shape, is_kernel))
    if unused:
        raise InputError(f"rules without a parameter: {sorted(unused)}")
    return found


def _their_shape(shape: tuple[int, ...], source: Source, *, is_kernel: bool) -> tuple[int, ...]:
    if is_kernel:
        shape = (shape[-1], shape[-2], *shape[:-2])
        # A (3, 1) kernel of ours is (3, 1, 1) there: the trailing one is already among ours.
        shape = (*shape, *(1,) * source.ones)
    return (shape[0] // len(source.names), *shape[1:]) if shape else shape


def from_torch(
    table_entries: list[Entry],
    tensors: Mapping[str, np.ndarray],
    *,
    ignored: tuple[str, ...] = (),
) -> dict[str, np.ndarray]:
    """Converts a state dict; every tensor is used once and every parameter is filled.

    Args:
      table_entries: what `entries` gives.
      tensors: the state dict, any float type.
      ignored: starts of names that belong to other networks.

    Returns:
      Our parameters, in the types of the tensors.

    Raises:
      InputError: all missing, extra and misshapen tensors together.
    """
    check(table_entries, {n: t.shape for n, t in tensors.items()}, ignored=ignored)
    return {e.ours: e.from_torch([tensors[n] for n in e.theirs]) for e in table_entries}


def to_torch(table_entries: list[Entry], params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `from_torch`."""
    tensors = {}
    for entry in table_entries:
        parts = entry.to_torch(np.asarray(params[entry.ours]))
        tensors.update(zip(entry.theirs, parts, strict=True))
    return tensors


def check(
    table_entries: list[Entry],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    ignored: tuple[str, ...] = (),
) -> None:
    """Compares names and shapes of a state dict with what the rules need.

    Raises:
      InputError: all missing, extra and misshapen tensors together.
    """
    wanted = {name: entry.their_shape for entry in table_entries for name in entry.theirs}
    missing = [f"missing {n} {list(s)}" for n, s in wanted.items() if n not in shapes]
    extra = [
        f"extra {n} {list(s)}"
        for n, s in shapes.items()
        if n not in wanted and not n.startswith(ignored or ("\0",))
    ]
    misshapen = [
        f"misshapen {n}: expected {list(s)}, found {list(shapes[n])}"
        for n, s in wanted.items()
        if n in shapes and tuple(shapes[n]) != s
    ]
    problems = missing + extra + misshapen
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise InputError(
            f"the checkpoint does not fit the network: {len(missing)} missing, {len(extra)} extra,"
            f" {len(misshapen)} misshapen tensors\n  {shown}{more}"
        )


def parameter_count(table_entries: list[Entry]) -> int:
    """Number of scalars that the entries hold."""
    return sum(math.prod(entry.shape) for entry in table_entries)
