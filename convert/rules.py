"""The rule engine: from tensors of a PyTorch state dict to parameters of our networks, and back.

A table maps the name of each of our layers to the name of the layer in the state dict. Names and
shapes of tensors follow from the kind of parameter:

  ours                      state dict
  kernel [in, out]          weight [out, in], with trailing ones for convolutions of one pixel
  kernel [kh, kw, in, out]  weight [out, in, kh, kw], with a trailing one for (kt, 1, 1)
  scale, embedding          weight
  bias                      bias
  named by the rule itself  the tensor that the rule names, unchanged

A table also names the constants of the state dict, under any name that no layer of ours has.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from venhancer_jax.convert.constants import Constant, read_constants, write_constants
from venhancer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Source:
    """Layers of a state dict that correspond to one of our layers.

    Attributes:
      names: name of the layer, or names of several whose tensors are stacked along the first axis.
      ones: number of trailing axes of length one that the weight has and our kernel lacks.
      joint: separator of layer and tensor name; `_` in `attn.in_proj_weight`.
      aliases: further names under which the state dict stores a layer of one name.
    """

    names: tuple[str, ...]
    ones: int = 0
    joint: str = "."
    aliases: tuple[str, ...] = ()


Table = Mapping[str, str | Source | Constant]


def linear(*names: str) -> Source:
    """Returns the source of a linear layer: one layer, or several that are stacked."""
    return Source(names)


def conv1d(name: str) -> Source:
    """Returns the source of a linear layer stored as a one-dimensional convolution of width 1."""
    return Source((name,), ones=1)


def conv1x1(name: str) -> Source:
    """Returns the source of a linear layer stored as a 1x1 convolution."""
    return Source((name,), ones=2)


def temporal_conv(name: str) -> Source:
    """Returns the source of a `(k, 1)` convolution stored as a `(k, 1, 1)` convolution."""
    return Source((name,), ones=1)


def aliased(name: str, *aliases: str) -> Source:
    """Returns the source of a layer that the state dict stores under several names."""
    return Source((name,), aliases=aliases)


def under(ours: str, theirs: str, table: Table) -> dict[str, Any]:
    """Adds prefixes to both sides of a table.

    Args:
      ours: prefix of our layers, such as `encoder.`.
      theirs: prefix of the layers of the state dict.
      table: table without the prefixes.
    """
    moved: dict[str, Source | Constant] = {}
    for name, source in table.items():
        if isinstance(source, Constant):
            moved[f"{ours}{name}"] = dataclasses.replace(source, name=f"{theirs}{source.name}")
            continue
        source = source if isinstance(source, Source) else Source((source,))
        moved[f"{ours}{name}"] = dataclasses.replace(
            source,
            names=tuple(f"{theirs}{name}" for name in source.names),
            aliases=tuple(f"{theirs}{name}" for name in source.aliases),
        )
    return moved


@dataclasses.dataclass(frozen=True)
class Entry:
    """One of our parameters and the tensors that it is converted from.

    Attributes:
      ours: name of the parameter.
      shape: shape of the parameter.
      theirs: names of the tensors.
      their_shape: shape of each of the tensors.
      is_kernel: whether axes are transposed.
      aliases: names of further tensors that equal the only one of `theirs`.
    """

    ours: str
    shape: tuple[int, ...]
    theirs: tuple[str, ...]
    their_shape: tuple[int, ...]
    is_kernel: bool
    aliases: tuple[str, ...] = ()

    def read(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Converts tensors of a state dict, which may lack aliases, to the parameter.

        Raises:
          InputError: an alias with other values.
        """
        parts = [tensors[name] for name in self.theirs]
        for name in self.aliases:
            if name in tensors and tensors[name].tobytes() != parts[0].tobytes():
                raise InputError(f"{name} and {self.theirs[0]} differ, which are one tensor")
        return self.from_torch(parts)

    def write(self, parameter: np.ndarray) -> dict[str, np.ndarray]:
        """Converts the parameter to tensors of a state dict, aliases included."""
        tensors = dict(zip(self.theirs, self.to_torch(parameter), strict=True))
        return tensors | dict.fromkeys(self.aliases, tensors[self.theirs[0]])

    def from_torch(self, tensors: list[np.ndarray]) -> np.ndarray:
        """Converts the tensors to the parameter."""
        tensor = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        if not self.is_kernel:
            return tensor.reshape(self.shape)
        ranked = tensor.reshape(self.shape[-1], self.shape[-2], *self.shape[:-2])
        return np.ascontiguousarray(ranked.transpose(*range(2, ranked.ndim), 1, 0))

    def to_torch(self, parameter: np.ndarray) -> list[np.ndarray]:
        """Converts the parameter back to its tensors."""
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
      refuse: function from the requested config and the shapes of all tensors, which raises
        InputError for checkpoints of models with the same names of tensors.
      prefix: start of the network's tensor names in checkpoints of several networks.
      ignored: starts of tensor names that belong to other networks.
      beside: function from a config and the path of a checkpoint to the config that files beside
        the checkpoint describe.
    """

    tables: Mapping[str, Callable[[Any], Table]]
    detect: Callable[[Any, Collection[str]], tuple[Any, str]]
    refuse: Callable[[Any, Mapping[str, tuple[int, ...]]], None] = lambda config, shapes: None
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    beside: Callable[[Any, Path], Any] = lambda config, path: config


def entries(table: Table, shapes: Mapping[str, tuple[int, ...]]) -> list[Entry]:
    """Expands a table to all parameters of a network.

    Args:
      table: source of each of our layers.
      shapes: shape of each of our parameters by name.

    Returns:
      One entry per parameter, in the order of `shapes`.

    Raises:
      InputError: a parameter without a rule, or a rule without a parameter.
    """
    found, unused = [], {name for name, rule in table.items() if not isinstance(rule, Constant)}
    for name, shape in shapes.items():
        layer, _, leaf = name.rpartition(".")
        bare = name in table
        rule = table.get(name if bare else layer)
        if rule is None or isinstance(rule, Constant):
            raise InputError(f"no rule for parameter {name!r} {shape}")
        unused.discard(name if bare else layer)
        source = rule if isinstance(rule, Source) else Source((rule,))
        tensor = "bias" if leaf == "bias" else "weight"
        theirs, aliases = (
            tuple(n if bare else f"{n}{source.joint}{tensor}" for n in names)
            for names in (source.names, source.aliases)
        )
        is_kernel = leaf == "kernel" and not bare
        their_shape = _their_shape(shape, source, is_kernel=is_kernel)
        found.append(Entry(name, shape, theirs, their_shape, is_kernel, aliases))
    if unused:
        raise InputError(f"rules without a parameter: {sorted(unused)}")
    return found


def constants(table: Table) -> dict[str, Constant]:
    """Returns the constants of a table by their names in the state dict."""
    return {rule.name: rule for rule in table.values() if isinstance(rule, Constant)}


def _their_shape(shape: tuple[int, ...], source: Source, *, is_kernel: bool) -> tuple[int, ...]:
    if is_kernel:
        shape = (shape[-1], shape[-2], *shape[:-2])
        # Our (k, 1) kernel is (k, 1, 1) there: `source.ones` counts the last axis only.
        shape = (*shape, *(1,) * source.ones)
    return (shape[0] // len(source.names), *shape[1:]) if shape else shape


def from_torch(
    table_entries: list[Entry],
    tensors: Mapping[str, np.ndarray],
    *,
    ignored: tuple[str, ...] = (),
    constants: Mapping[str, Constant] | None = None,
) -> dict[str, np.ndarray]:
    """Converts a state dict; every tensor is used once and every parameter is set.

    Args:
      table_entries: result of `entries`.
      tensors: state dict, of any floating-point type.
      ignored: starts of tensor names that belong to other networks.
      constants: result of `constants`, if the state dict has any.

    Returns:
      Our parameters, in the types of the tensors.

    Raises:
      InputError: missing, extra or misshapen tensors, all listed; other values of a constant.
    """
    shapes = {n: t.shape for n, t in tensors.items()}
    check(table_entries, shapes, ignored=ignored, constants=constants)
    read_constants(constants or {}, tensors)
    return {e.ours: e.read(tensors) for e in table_entries}


def to_torch(
    table_entries: list[Entry],
    params: Mapping[str, np.ndarray],
    *,
    constants: Mapping[str, Constant] | None = None,
) -> dict[str, np.ndarray]:
    """Converts our parameters back to a state dict.

    Args:
      table_entries: result of `entries`.
      params: our parameters by name.
      constants: result of `constants`, to write them too.
    """
    tensors: dict[str, np.ndarray] = {}
    for entry in table_entries:
        tensors |= entry.write(np.asarray(params[entry.ours]))
    dtype = next(iter(tensors.values())).dtype
    return tensors | write_constants(constants or {}, None, dtype)


def check(
    table_entries: list[Entry],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    ignored: tuple[str, ...] = (),
    constants: Collection[str] | None = None,
) -> None:
    """Checks that the tensors of a state dict are exactly those of the rules.

    Args:
      table_entries: result of `entries`.
      shapes: shape of each tensor by name.
      ignored: starts of tensor names that belong to other networks.
      constants: names of constants, which may be missing; so may aliases.

    Raises:
      InputError: missing, extra or misshapen tensors, all listed.
    """
    wanted = {name: entry.their_shape for entry in table_entries for name in entry.theirs}
    missing = [f"missing {n} {list(s)}" for n, s in wanted.items() if n not in shapes]
    wanted |= {name: entry.their_shape for entry in table_entries for name in entry.aliases}
    extra = [
        f"extra {n} {list(s)}"
        for n, s in shapes.items()
        if n not in wanted and n not in (constants or ()) and not n.startswith(ignored or ("\0",))
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
    """Returns the number of scalars of all parameters."""
    return sum(math.prod(entry.shape) for entry in table_entries)
