"""Replays of resampling, padding, and the conversion between frames and bytes."""

import re

import jax.numpy as jnp
import numpy as np

from venhancer_jax.convert.parity.case import BLOCK, Case, compare, equal
from venhancer_jax.convert.parity.recording import Recording, channels_last
from venhancer_jax.pipelines import programs
from venhancer_jax.video import resize


def replay_resize(recording: Recording) -> list[Case]:
    """Resampling by size and by scale, preparation of frames, padding, bytes."""
    tensors, cases = recording.tensors, []
    x = channels_last(tensors["x"])
    for name, recorded in tensors.items():
        scale = None
        if match := re.fullmatch(r"size_(\d+)x(\d+)", name):
            height, width = map(int, match.groups())
        elif match := re.fullmatch(r"scale_([\d.]+)", name):
            scale = float(match.group(1))
            height, width = (int(side * scale) for side in x.shape[1:3])
        else:
            continue
        ours = resize.resize_bilinear(x, (height, width), scale=scale, antialias=False)
        cases.append(compare(f"{recording.name}/{name}", ours, channels_last(recorded), BLOCK))
    bgr = tensors["bgr_frames_u8"]
    signed = resize.to_signed(bgr[..., ::-1])
    cases.append(
        compare(f"{recording.name}/preprocess", signed, channels_last(tensors["preprocess"]), BLOCK)
    )
    padded = channels_last(tensors["pad_ones"])
    inner, sides = _unpadded(padded)
    ours = resize.pad(inner, sides, white=True)
    cases.append(compare(f"{recording.name}/pad_ones", ours, padded, BLOCK))
    video = channels_last(tensors["tensor2vid_in"])[0]
    ours = programs.to_bytes(jnp.asarray(video), truncate=True)
    cases.append(equal(f"{recording.name}/tensor2vid_u8", ours, tensors["tensor2vid_u8"]))
    return cases


def _unpadded(padded: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Crops the border of ones from frames; returns the inner frames and the border's widths."""
    rows = np.flatnonzero((padded != 1).any((0, 2, 3)))
    columns = np.flatnonzero((padded != 1).any((0, 1, 3)))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    sides = (left, padded.shape[2] - right, top, padded.shape[1] - bottom)
    return padded[:, top:bottom, left:right], sides
