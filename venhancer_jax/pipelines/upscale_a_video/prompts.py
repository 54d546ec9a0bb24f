"""The texts that are encoded for a clip, and captions from a captioner."""

import importlib
from collections.abc import Callable
from typing import cast

import numpy as np

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.prompts import join_prompt
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions

# Negative prompt of the released program, to the letter.
NEGATIVE = "blur, worst quality"

# Function from the first frame of a clip, uint8 RGB `[H, W, 3]`, to its caption.
Captioner = Callable[[np.ndarray], str]


def texts_of(options: UpscaleAVideoOptions, caption: str | None = None) -> list[str]:
    """Returns the texts of an enhancement: the prompt, and with guidance the negative prompt.

    Args:
      options: options of the user.
      caption: what the clip shows, by default the prompt of `options`.
    """
    caption = options.prompt if caption is None else caption
    separated = not options.quirks.join_without_space
    prompt = join_prompt(caption, options.a_prompt, separated=separated)
    negative = NEGATIVE if options.negative_prompt is None else options.negative_prompt
    return [prompt, negative] if options.guided else [prompt]


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


def caption_of(first_frame: np.ndarray, options: UpscaleAVideoOptions) -> str:
    """Returns the prompt of the user, or without one the text of the captioner, on one line.

    Args:
      first_frame: uint8 RGB frame `[H, W, 3]`.
      options: options of the user.

    Raises:
      InputError: a captioner that cannot be imported or that returns no text.
    """
    if options.prompt or not options.captioner:
        return options.prompt
    caption = find_captioner(options.captioner)(first_frame)
    if not isinstance(caption, str):
        raise InputError(f"captioner {options.captioner!r}: returned {caption!r}, expected a text")
    return " ".join(caption.split())
