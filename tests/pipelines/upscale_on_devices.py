"""Enhances clips by Upscale-A-Video, here or in a process with eight CPU devices."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).parents[1]
# Frames, rows and columns, mesh or None for one device, and options, by name.
Cases = Mapping[str, tuple[tuple[int, int, int], dict[str, int] | None, dict[str, Any]]]


def enhanced(
    size: tuple[int, int, int], mesh: Mapping[str, int] | None, changes: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Returns latents and pixels of a clip, propagated along its flow."""
    from pipelines.tiny_system import clip
    from pipelines.tiny_upscaler import tiny_upscaler

    from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
    from venhancer_jax.sharding.mesh import inference_mesh

    system = tiny_upscaler()
    if mesh is not None:
        system = dataclasses.replace(system, mesh=inference_mesh(None, mesh))
    options = UpscaleAVideoOptions(steps=2, propagation_steps=(1,), flow="dis", **changes)
    denoised = system.denoise_clip(clip(*size), rate=Fraction(10), options=options)
    pixels = [np.asarray(piece) for piece in system.decode_frames(denoised, options)]
    return {"latents": np.asarray(denoised.latents[0]), "pixels": np.concatenate(pixels)}


def on_eight(result: Path, cases: Cases) -> dict[str, np.ndarray]:
    """Enhances clips in a process with eight devices; returns the results by case and kind."""
    environment = os.environ | {
        "XLA_FLAGS": (
            "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=8"
        ),
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    process = subprocess.run(
        [sys.executable, __file__, str(result), json.dumps(cases)],
        env=environment, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return dict(np.load(result))


def main(result: str, cases: Cases) -> None:
    import jax

    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    found: dict[str, np.ndarray] = {}
    for name, case in cases.items():
        results = enhanced(*case)
        found |= {f"{name} {kind}": x for kind, x in results.items()}
    np.savez(result, devices=np.array(jax.device_count()), **found)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
