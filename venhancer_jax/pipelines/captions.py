"""Captions of clips without a prompt, from a function of the user."""

import importlib
from collections.abc import Callable
from typing import cast

import numpy as np

from venhancer_jax.errors import InputError

# Function from the first frame of a clip, uint8 RGB `[H, W, 3]`, to its caption.
Captioner = Callable[[np.ndarray], str]


def find_captioner(name: str) -> Captioner:
    """Imports a captioner; none is part of the package.

    Args:
      name: `MODULE:FUNCTION`.

    Raises:
      InputError: no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"captioner {name!r}: cannot be imported ({error}); expected MODULE:FUNCTION on the"
            " Python path, a function from a frame to a text"
        ) from None
    if not callable(found):
        raise InputError(f"captioner {name!r}: expected a function from a frame to a text")
    return cast(Captioner, found)


def caption(name: str, first_frame: np.ndarray) -> str:
    """Returns the text of a captioner, on one line.

    Args:
      name: `MODULE:FUNCTION`.
      first_frame: uint8 RGB frame `[H, W, 3]`.

    Raises:
      InputError: a captioner that cannot be imported or that returns no text.
    """
    text = find_captioner(name)(first_frame)
    if not isinstance(text, str):
        raise InputError(f"captioner {name!r}: returned {text!r}, expected a text")
    return " ".join(text.split())
