"""Enhances a clip with a reference, here or in a process with eight CPU devices."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from venhancer_jax.sharding.mesh import inference_mesh


def enhanced(mesh: Mapping[str, int] | None) -> dict[str, np.ndarray]:
    """Returns latents and pixels of a clip whose middle frame is sharpened."""
    from pipelines.genve.tiny_genve import RATE, options, tiny_genve
    from pipelines.tiny_system import clip

    system, chosen = tiny_genve(), options()
    if mesh is not None:
        system = dataclasses.replace(system, mesh=inference_mesh(None, mesh))
    latents, plan = system.denoise_clip(clip(8), rate=RATE, options=chosen)
    pixels = [np.asarray(x) for x in system.decode_frames(latents, plan.space, chosen)]
    return {"latents": np.asarray(latents), "pixels": np.concatenate(pixels)}


def write(path: Path, mesh: Mapping[str, int]) -> None:
    """Writes what `enhanced` returns on all devices of the process, and their number."""
    np.savez(path, devices=np.array(jax.device_count()), **enhanced(mesh))
