"""Options of an encoder as a text: `crf=20:preset=slow`."""

import re
from collections.abc import Mapping
from typing import Any

from venhancer_jax.errors import InputError

_COLON = r"\:"


def parse_codec_options(value: str | Mapping[str, Any]) -> str:
    r"""Parses options of an encoder.

    Args:
      value: `crf=20:preset=slow`, where `\:` is a colon within a value, or a dictionary.

    Returns:
      Options in the first form, of which `split_codec_options` returns names and values.

    Raises:
      InputError: a part without a name or a value.
    """
    if isinstance(value, Mapping):
        value = ":".join(f"{k}={str(v).replace(':', _COLON)}" for k, v in value.items())
    if not isinstance(value, str):
        raise InputError(f"codec_options {value!r}: expected a text such as crf=20:preset=slow")
    split_codec_options(value)
    return value


def split_codec_options(value: str) -> tuple[tuple[str, str], ...]:
    """Returns names and values of encoder options.

    Args:
      value: result of `parse_codec_options`.

    Raises:
      InputError: a part without a name or a value.
    """
    pairs = []
    for part in re.split(r"(?<!\\):", value) if value else []:
        name, sign, setting = part.partition("=")
        if not (name.strip() and sign and setting):
            raise InputError(
                f"codec_options {value!r}: {part!r} is not NAME=VALUE; expected a text such as"
                " crf=20:preset=slow"
            )
        pairs.append((name.strip(), setting.replace(_COLON, ":")))
    return tuple(pairs)
