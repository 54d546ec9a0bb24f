"""Replays of the colour correction."""

import re
from typing import Any

from venhancer_jax.convert.parity.case import BLOCK, Case, compare
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.video.colour import colour_fix
from venhancer_jax.video.resize import resize_bicubic


def replay_colour(recording: Recording) -> list[Case]:
    """Replays the enlarged input, the two parts of the result, and both corrections."""
    tensors = {name: channels_last(tensor) for name, tensor in recording.tensors.items()}
    small, y = tensors["lr"], tensors["y"]
    source = resize_bicubic(small, y.shape[1:3])
    ours: dict[str, Any] = {
        "bicubic_x4": source,
        "adain": colour_fix.adain(y, source),
        "wavelet": colour_fix.wavelet(y, source),
    }
    ours["wavelet_high"], ours["wavelet_low"] = colour_fix.wavelet_split(y)
    for name in tensors:
        if match := re.fullmatch(r"blur_r(\d+)", name):
            ours[name] = colour_fix.blur(y, int(match[1]))
    return [
        compare(f"{recording.name}/{name}", value, tensors[name], BLOCK)
        for name, value in ours.items()
        if name in tensors
    ]
