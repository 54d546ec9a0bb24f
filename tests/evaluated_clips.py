"""Clips of noise, and the command line of the measures."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from venhancer_jax import evaluate
from venhancer_jax.video import VideoWriter


def write(path: Path, frames: Sequence[np.ndarray], rate: int = 24) -> Path:
    """A folder of images, or with a suffix a video."""
    codec = "h264" if path.suffix else "png"
    height, width = frames[0].shape[:2]
    with VideoWriter(
        path, width=width, height=height, rate=Fraction(rate), codec=codec, quality=1.0
    ) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def noise(seed: int, count: int = 4, height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 230, (count, height, width, 3), np.uint8)


def run(pred: Path, target: Path, *more: str) -> int:
    return evaluate.main([f"--pred={pred}", f"--target={target}", *more])


def scores_of(path: Path) -> dict:
    return json.loads(path.read_text())


def psnr_of(level: float) -> float:
    return 20 * np.log10(255 / level)
