"""Reports how arrays of the pipeline are sharded over eight CPU devices, as JSON."""

import contextlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.fidelity import hold_low_frequencies
from venhancer_jax.pipelines import pieces, programs
from venhancer_jax.pipelines.tiles import Tiling
from venhancer_jax.pipelines.venhancer.decode import DecoderPieces, decode_stream
from venhancer_jax.sharding.mesh import inference_mesh, num_shards, put_sharded


def decode(latents: jax.Array) -> jax.Array:
    """Doubles each latent in both directions; the result is sharded like the input."""
    return latents[..., :3].repeat(2, 2).repeat(2, 3)


def write(path: Path) -> None:
    mesh = inference_mesh()
    frames = np.linspace(-1, 1, 8 * 2 * 3 * 3, dtype=np.float32).reshape(8, 2, 3, 3)
    with jax.set_mesh(mesh):
        shards = num_shards("piece")
        sharded = put_sharded(frames, ("piece", None, None, None))
        pixels = programs.to_bytes(sharded, truncate=False)

    blended, constrained = [], []
    add = pieces._add

    def recorded(*arguments):
        *arrays, axes = arguments
        traced = jax.make_jaxpr(lambda *arrays: add(*arrays, axes))(*arrays)
        constrained.append("sharding_constraint" in str(traced))
        total = add(*arguments)
        blended.append([total.shape, total.sharding.shard_shape(total.shape)])
        return total

    pieces._add = recorded
    latents = jax.random.normal(jax.random.key(0), (1, 26, 8, 10, 4))
    cut = DecoderPieces(scale=2, tiling=Tiling(area=30, margin=1))
    with jax.set_mesh(mesh):
        stream = decode_stream(decode, latents, cut, batch=shards)
        found = np.concatenate([np.asarray(piece) for piece in stream], axis=1)
    held = []
    for context in (jax.set_mesh(mesh), contextlib.nullcontext()):
        with context:
            x, reference = np.asarray(latents[:, :8]), np.asarray(latents[:, 8:16])
            x = jnp.asarray(put_sharded(x, (None, "frame", "row", None, None)))
            hold = hold_low_frequencies(lambda x, t: 2 * x, jnp.asarray(reference), 0.5)
            held.append(np.asarray(hold(x, np.int32(0))))
    report = {
        "held": float(np.abs(held[0] - held[1]).max()),
        "devices": jax.device_count(),
        "shards": shards,
        "sharded": sharded.is_fully_replicated,
        "replicated": pixels.is_fully_replicated,
        "bytes_right": bool((np.asarray(pixels) == np.rint((frames + 1) * 127.5)).all()),
        "blended": blended,
        "constrained": constrained,
        "error": float(jnp.abs(found - decode(latents)).max()),
    }
    path.write_text(json.dumps(report))
