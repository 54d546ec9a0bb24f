"""Compiles a denoising step for eight devices and tells what goes between them.

For `cpu` on eight forced devices, for `tpu` on a v5e-8 that need not be there.
"""

import json
from pathlib import Path
from typing import Any

from training import forked


def compiled_step(folder: Path, platform: str, frames: int) -> dict[str, Any]:
    """Counts of transfers by kind, their expected counts, and the arrays that are gathered."""
    result = folder / "found.json"
    forked.run(folder / "output.txt", write, result, platform, frames, devices=8)
    return json.loads(result.read_text())


def write(result: Path, platform: str, frames: int) -> None:
    import re

    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
    from venhancer_jax.pipelines import catalog, programs
    from venhancer_jax.pipelines.step_cache import StepCache, StepPlan
    from venhancer_jax.planning.collectives import count_collectives
    from venhancer_jax.planning.topology import compile_on_processor, find_topology
    from venhancer_jax.sharding.mesh import inference_mesh

    devices = None
    if platform == "tpu":
        compile_on_processor()
        devices = find_topology("v5e-8").devices
    mesh = inference_mesh(devices)
    config = UNet3DConfig.tiny(
        width=64, multipliers=(1,), blocks_per_level=1, attention_levels=(), dtype="bfloat16"
    )
    network = catalog.build("venhancer", config)
    place = NamedSharding(mesh, PartitionSpec())

    def array(*shape: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=place)

    params = {name: array(*x.shape, dtype=jnp.bfloat16) for name, x in network.shapes.items()}
    one = array(1)
    arguments = (
        params,
        array(1, frames, 18, 16, 4),
        array(dtype=jnp.int32),
        (array(), array()),
        array(2, 7, config.context_width),
        (array(), array()),
        {
            "hint": array(1, frames, 18, 16, 4),
            "hint_t": one,
            "scale": one,
            "key_index": array(1, frames, dtype=jnp.int32),
        },
        StepCache(),
    )
    with jax.set_mesh(mesh):
        traced = programs.denoise.trace(network, StepPlan(), *arguments)
        text = traced.lower(lowering_platforms=(platform,)).compile().as_text()
    found, _ = count_collectives(text)
    all_gathered = re.findall(r"= (\w+\[[\d,]*\]\S*) all-gather(?:-start)?\(", text)
    facts = {
        "counts": {kind: each.count for kind, each in found.items()},
        "bytes": {kind: each.bytes for kind, each in found.items()},
        "gathered": all_gathered,
        "temporal_transformers": sum(n.endswith("temporal.proj_in.kernel") for n in params),
        "temporal_convolutions": sum(n.endswith("conv.kernel") and "stage" in n for n in params),
    }
    result.write_text(json.dumps(facts))
