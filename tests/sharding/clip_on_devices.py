"""Enhances a clip in a process of its own, with several devices."""

import socket
from collections.abc import Mapping, Sequence
from fractions import Fraction
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import jax
import numpy as np
from training import forked

# Name -> what `enhanced` is to do.
Cases = Mapping[str, Mapping[str, Any]]


def enhanced(
    *,
    frames: int,
    mesh: Mapping[str, int] | None = None,
    window: int = 32,
    guidance_scale: float = 3.0,
) -> dict[str, np.ndarray]:
    """Noise as the sampler sees it, latents, decoded frames, and uint8 frames."""
    from pipelines.tiny_system import clip, tiny_system

    from venhancer_jax.diffusion.noise import CounterNoise
    from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
    from venhancer_jax.sharding.mesh import inference_mesh
    from venhancer_jax.sharding.processes import fetch_to_host

    system = tiny_system(mesh=None if mesh is None else inference_mesh(sizes=mesh))
    options = VEnhancerOptions(
        up_scale=1.0,
        solver_mode="normal",
        steps=2,
        window=window,
        guidance_scale=guidance_scale,
    )
    inputs = {"frames": clip(frames), "rate": Fraction(10), "options": options}
    drawn = []

    def noise(stream: str, step: int, shape: tuple[int, ...]) -> jax.Array:
        drawn.append(CounterNoise(3)(stream, step, shape))
        return drawn[-1]

    latents, plan = system.denoise_clip(**inputs, noise=noise)
    pieces = [fetch_to_host(x) for x in system.decode_frames(latents, plan.space, options)]
    return {
        "noise": np.concatenate([fetch_to_host(x).ravel() for x in drawn]),
        "latents": fetch_to_host(latents),
        "pixels": np.concatenate(pieces),
        "bytes": np.stack([*system.enhance(**inputs, noise=CounterNoise(3))]),
    }


def gradients(mesh: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
    """Of transformers over pixels and over frames, without and with positions, in chunks."""
    import jax.numpy as jnp
    from flax import nnx
    from pipelines.tiny_system import random_params

    from venhancer_jax.models.functional import functionalize
    from venhancer_jax.models.layers.transformer import SpatialTransformer, TemporalTransformer
    from venhancer_jax.sharding.mesh import inference_mesh

    class All(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            options = {"implementation": "auto", "dtype": jnp.float32, "rngs": rngs}
            self.spatial = SpatialTransformer(32, context_width=8, head_dim=16, **options)
            self.temporal = TemporalTransformer(32, pixels_at_once=5, head_dim=16, **options)
            both = {"only_cross": True, "temporal_pixels_at_once": 5, "head_dim": 32}
            self.both = SpatialTransformer(32, context_width=8, **both, **options)

        def __call__(self, x: jax.Array, text: jax.Array) -> jax.Array:
            return self.both(self.temporal(self.spatial(x, text)), text, text)

    network = functionalize(All)
    draw = np.random.default_rng(0).standard_normal
    x, text = draw((2, 5, 6, 8, 32), np.float32), draw((2, 3, 8), np.float32)
    gradient = jax.jit(jax.grad(lambda params: jnp.square(network(params, x, text)).mean()))
    with jax.set_mesh(inference_mesh(jax.devices()[: None if mesh else 1], mesh)):
        return {name: np.asarray(g) for name, g in gradient(random_params(network)).items()}


def start_together(
    results: Sequence[Path], cases: Cases, *, devices: int
) -> dict[Path, ForkServerProcess]:
    """Starts processes with this many devices each, by their outputs, that enhance together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    joined = [(address, len(results), i) for i in range(len(results))]
    return {
        (output := result.with_suffix(".txt")): forked.start(
            output, write, result, cases, join, devices=devices
        )
        for result, join in zip(results, joined, strict=True)
    }


def write(result: Path, cases: Cases, join: tuple[str, int, int] | None = None) -> None:
    """Writes what clips become; `join` is coordinator, process count and process index."""
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    if join:
        jax.distributed.initialize(*join)
    found = {}
    for name, case in cases.items():
        found |= {f"{name} {kind}": x for kind, x in enhanced(**case).items()}
    if not join:
        found |= {f"gradient {name}": x for name, x in gradients({"data": 2}).items()}
    np.savez(result, **found, devices=np.array(jax.device_count()))
