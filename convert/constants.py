"""Constants of state dicts: buffers of PyTorch modules that are no parameters of ours.

Examples are frequencies of rotary embeddings, position indices and batch counters. They are checked
when a checkpoint is converted and written when it is converted back.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from venhancer_jax.errors import InputError

# Relative rounding of a constant that is stored in a 16-bit type.
_ROUNDING = 2**-8


@dataclasses.dataclass(frozen=True)
class Constant:
    """A tensor of a state dict that is no parameter of ours.

    Attributes:
      name: name of the tensor.
      value: array that the tensor holds, in the type of an exported checkpoint.
      varies: whether checkpoints hold other values, as in a counter, which are stored with the
        weights; otherwise another value is an error.
      optional: whether some versions of the PyTorch module lack it, so that it is exported only
        with a checkpoint that had it.
    """

    name: str
    value: np.ndarray = dataclasses.field(compare=False)
    varies: bool = False
    optional: bool = False


def read_constants(
    constants: Mapping[str, Constant], tensors: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Checks the constants of a state dict.

    Args:
      constants: constants of the table, by name.
      tensors: state dict, which may lack constants.

    Returns:
      JSON value of each constant that varies and None for each other one, by name, if present in
      `tensors`.

    Raises:
      InputError: another value.
    """
    found: dict[str, Any] = {}
    for name, constant in constants.items():
        if name not in tensors:
            continue
        x = np.asarray(tensors[name])
        if constant.varies:
            found[name] = x.tolist()
            continue
        if x.shape != constant.value.shape or not np.allclose(
            x.astype(np.float64), constant.value, rtol=_ROUNDING, atol=0
        ):
            raise InputError(
                f"{name} is a constant of the network: expected {_shown(constant.value)}, found"
                f" {_shown(x)}"
            )
        found[name] = None
    return found


def write_constants(
    constants: Mapping[str, Constant], stored: Mapping[str, Any] | None, dtype: np.dtype
) -> dict[str, np.ndarray]:
    """Returns the constants of an exported state dict.

    Args:
      constants: constants of the table, by name.
      stored: result of `read_constants` for the converted checkpoint; None to write all of
        `constants` that are not optional, with their own values.
      dtype: type of floating-point constants.
    """
    tensors = {}
    for name, constant in constants.items():
        if name not in stored if stored is not None else constant.optional:
            continue
        kept = None if stored is None else stored[name]
        value = constant.value
        value = value if kept is None else np.asarray(kept, value.dtype)
        is_floating = np.issubdtype(value.dtype, np.floating)
        tensors[name] = value.astype(dtype) if is_floating else value
    return tensors


def _shown(x: np.ndarray) -> str:
    first = ", ".join(f"{value:.5g}" for value in x.ravel()[:4].tolist())
    return f"[{first}{', ...' if x.size > 4 else ''}] {list(x.shape)}"
