"""Reports how far enhancements on eight CPU devices are from those on one, as JSON."""

import dataclasses
import json
from fractions import Fraction

import jax
import numpy as np
from pipelines.tiny_system import clip
from pipelines.tiny_upscaler import tiny_upscaler

from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.sharding.mesh import inference_mesh
from venhancer_jax.startup import use_compilation_cache

# Guidance pair on two, frames on four; windows on the others; rows and tiles on the third.
MESHES = {"frames": {}, "windows": {"data": 8}, "rows": {"data": 2, "rows": 4}}
# Two windows, one of them of frames that four devices do not divide.
CASES = {
    "windows": (11, 16, 24, {}),
    "tiles": (3, 24, 40, {"tile": 16, "tile_overlap": 0}),
}


def main() -> None:
    use_compilation_cache()
    one = tiny_upscaler()
    report: dict = {"devices": jax.device_count()}
    for case, (frames, height, width, changes) in CASES.items():
        options = UpscaleAVideoOptions(
            steps=2, propagation_steps=(0, 1), flow="dis", prompt="a fox", **changes
        )
        expected = enhanced(one, clip(frames, height, width), options)
        for name in ("frames",) if case == "tiles" else MESHES:
            mesh = inference_mesh(None, MESHES[name])
            found = enhanced(
                dataclasses.replace(one, mesh=mesh), clip(frames, height, width), options
            )
            report[f"{case} {name}"] = [
                float(np.linalg.norm(a - b) / np.linalg.norm(b))
                for a, b in zip(found, expected, strict=True)
            ]
    print(json.dumps(report))


def enhanced(system, frames, options) -> tuple[np.ndarray, np.ndarray]:
    """Returns latents and pixels of a clip."""
    denoised = system.denoise_clip(frames, rate=Fraction(10), options=options)
    pixels = [np.asarray(piece) for piece in system.decode_frames(denoised, options)]
    return np.asarray(denoised.latents[0]), np.concatenate(pixels)


if __name__ == "__main__":
    main()
