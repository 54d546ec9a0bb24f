"""Sharpens a frame on one and on eight CPU devices, whole and in tiles; reports distances."""

import json
from pathlib import Path

import jax
import numpy as np

from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.sharding.mesh import device_mesh


def write(path: Path) -> None:
    from pipelines.genve.test_image_diffuser import NOISE, TEXT, Options, error, image_model, prior

    frame = CounterNoise(1)("z", 0, (1, 1, 26, 30, 4))
    report = {}
    for name, diffuser in (("prior", prior()), ("sd21", image_model())):
        for kind, tile in (("whole", "none"), ("tiles", 16)):
            options = Options(tile=tile, tile_overlap=4, image_steps=2)
            one = np.asarray(diffuser.sharpen(frame, TEXT, options, noise=NOISE))
            mesh = device_mesh({"data": 2, "fsdp": 2, "context": 2})
            with jax.set_mesh(mesh):
                many = np.asarray(diffuser.sharpen(frame, TEXT, options, noise=NOISE))
                boxes = len(diffuser.boxes((26, 30), options))
            report[f"{name} {kind}"] = [boxes, error(many, one)]
    path.write_text(json.dumps(report))
