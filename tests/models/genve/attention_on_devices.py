"""The attention to a reference on meshes of several devices, and what its program sends."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np


def computed(
    sizes: Mapping[str, int] | None = None, videos: int = 2
) -> tuple[dict[str, np.ndarray], str]:
    """Texture, folded texture and gradients on a mesh, and the program of the first two."""
    from models.genve.tiny_attention import GRID, REFERENCE, VIDEO, built

    from venhancer_jax.models.genve.shuffle import permute_in_windows
    from venhancer_jax.sharding.mesh import inference_mesh

    network, params = built()
    video, reference = VIDEO[:videos], REFERENCE[:videos]

    @jax.jit
    def fused(params, video, reference, permutation):
        module = network.bind(params)
        texture = module(video, reference, permutation)
        return {"texture": texture, "folded": module.fold(texture)}

    def loss(params, *inputs):
        return jax.numpy.square(fused(params, *inputs)["folded"]).sum()

    with jax.set_mesh(inference_mesh(jax.devices()[: None if sizes else 1], sizes)):
        inputs = (video, reference, permute_in_windows(jax.random.key(0), (videos, 3), GRID, 4))
        compiled = fused.lower(params, *inputs).compile()
        found = fused(params, *inputs) | jax.jit(jax.grad(loss))(params, *inputs)
        return {name: np.asarray(x) for name, x in found.items()}, compiled.as_text()


def write(result: Path, meshes: Sequence[tuple[Mapping[str, int], int]]) -> None:
    """Writes what is computed on each mesh with so many videos."""
    found = {}
    for i, (sizes, videos) in enumerate(meshes):
        arrays, _ = computed(sizes, videos)
        found |= {f"{i} {name}": x for name, x in arrays.items()}
    np.savez(result, **found)
