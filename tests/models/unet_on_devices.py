"""The smallest UNet of Upscale-A-Video on meshes of several devices, in a process of its own.

python unet_on_devices.py RESULT '[{"data": 2, "context": 4}, ...]'
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

TESTS = Path(__file__).parents[1]


def predict(mesh: Mapping[str, int] | None = None) -> np.ndarray:
    """Predicts v of two videos whose frames, rows and pixels no mesh divides."""
    import jax.numpy as jnp
    from models.tiny_networks import normal
    from pipelines.tiny_system import random_params

    from venhancer_jax.models.upscale_a_video.config import UpscaleUNetConfig
    from venhancer_jax.pipelines import catalog
    from venhancer_jax.sharding.mesh import inference_mesh

    config = UpscaleUNetConfig.tiny(temporal_pixels_at_once=7)
    network = catalog.build("upscale_a_video", config)
    inputs = (normal(0, 2, 5, 7, 9, 7), jnp.array([500, 20]), normal(1, 2, 4, 16))
    with jax.set_mesh(inference_mesh(jax.devices()[: None if mesh else 1], mesh)):
        out = jax.jit(network.__call__)(random_params(network), *inputs, jnp.array([120, 0]))
        return np.asarray(out)


def on_devices(result: Path, meshes: Sequence[Mapping[str, int]]) -> list[np.ndarray]:
    """Predicts v on every mesh, each of eight devices."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    command = [sys.executable, __file__, str(result), json.dumps(meshes)]
    subprocess.run(command, env=environment, check=True, timeout=900)
    found = np.load(result)
    return [found[str(i)] for i in range(len(meshes))]


if __name__ == "__main__":
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    predictions = [predict(mesh) for mesh in json.loads(sys.argv[2])]
    np.savez(sys.argv[1], **{str(i): x for i, x in enumerate(predictions)})
