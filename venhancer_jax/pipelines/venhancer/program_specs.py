"""The programs of an enhancement, abstract: shapes and shardings of the calls of `VEnhancer`."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.denoise import windows_per_call
from venhancer_jax.pipelines.spec_builder import SpecBuilder, count_network_calls, split
from venhancer_jax.pipelines.step_cache import StepCache, StepPlan
from venhancer_jax.pipelines.system import LoadedNetwork, ProgramSpec
from venhancer_jax.pipelines.venhancer.decode import (
    DecoderPieces,
    PublishedPieces,
    decoder_pieces,
)
from venhancer_jax.pipelines.venhancer.networks import VEnhancerNetworks
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.pipelines.venhancer.plan import VEnhancerPlan, plan_steps
from venhancer_jax.pipelines.venhancer.tiling import encoder_tiling
from venhancer_jax.sharding.mesh import num_shards

# Arrays as large as the latents of the clip that are held while it is denoised: mean, start, hint,
# state of the solver, its noise, and the blended windows.
_LATENTS_HELD = 10


def spec_builder(
    system: VEnhancerNetworks,
    plan: VEnhancerPlan,
    options: ControlledOptions,
    others: Sequence[LoadedNetwork] = (),
) -> SpecBuilder:
    """Returns the builder of the specs of a run.

    Args:
      system: networks on a mesh, with weights or abstract.
      plan: plan of the clip.
      options: options of the enhancement.
      others: further networks that stay in memory.
    """
    assert system.mesh is not None
    latents = math.prod(plan.working_size) // system.vae.config.pixels_per_latent**2
    arrays = _LATENTS_HELD + (options.fidelity > 0)
    held = arrays * 4 * plan.time.frames * latents * system.denoiser.config.latent_channels
    return SpecBuilder(system.mesh, (system.vae, system.denoiser, *others), held)


def program_specs(
    system: VEnhancerNetworks,
    plan: VEnhancerPlan,
    options: ControlledOptions,
    others: Sequence[LoadedNetwork] = (),
) -> list[ProgramSpec]:
    """Lists the programs of an enhancement, in the order of the run.

    Args:
      system: networks on a mesh, with weights or abstract.
      plan: plan of the clip.
      options: options of the enhancement.
      others: further networks that stay in memory.
    """
    assert system.mesh is not None
    mesh = system.mesh
    pixels = system.vae.config.pixels_per_latent
    channels = system.denoiser.config.latent_channels
    rows, columns = plan.working_size
    latent = (rows // pixels, columns // pixels, channels)
    copies = 2 if options.guided else 1
    with jax.set_mesh(mesh):
        pieces, windows = num_shards("piece"), windows_per_call(guided=options.guided)
        encoder_tiles = encoder_tiling(system.vae, options).windows(latent[:2])
    # The text encoder is freed before the clip is encoded.
    box = max(plan.boxes(), key=lambda box: math.prod(box.shape))
    tile = (*box.shape[1:], channels)
    build = spec_builder(system, plan, options, others)
    array, program = build.array, build.program
    encoder = system.text.load()
    start, stop = max(plan.time.windows, key=lambda each: each[1] - each[0])
    keys = int((np.array(plan.time.key_index)[start:stop] >= 0).sum())
    frames = stop - start
    conditions = {
        "hint": array(windows, keys, *tile),
        "hint_t": array(windows, dtype=jnp.int32),
        "scale": array(windows),
        "key_index": array(windows, frames, dtype=jnp.int32),
    }
    number = array()
    chunk, decoded, calls, buffers = _decoding(
        plan, decoder_pieces(system.vae.config, options), latent[:2], pieces
    )
    encoded = plan.time.frames if options.encodes_interpolated else plan.clip.frames
    step = StepPlan() if options.guided else StepPlan(difference=None)
    steps = plan_steps(system.schedule, options)
    network_calls = math.ceil(plan.window_count / windows) * count_network_calls(steps)
    return [
        build.text(encoder, copies),
        program(
            "encode",
            programs.encode,
            system.vae,
            build.pieces(pieces, 1, *(pixels * (w[0][1] - w[0][0]) for w in encoder_tiles), 3),
            shards=pieces,
            calls=math.ceil(encoded / pieces) * math.prod(map(len, encoder_tiles)),
            scales_with=("pixels",),
        ),
        program(
            "denoise",
            programs.denoise,
            system.denoiser,
            array(windows, frames, *tile),
            array(dtype=jnp.int32),
            (number, number),
            build.text_kv(encoder, system.denoiser, copies),
            (number, number),
            conditions,
            StepCache(),
            static=(step,),
            shards=split(mesh.shape, copies * windows, frames),
            calls=network_calls,
            scales_with=("window", "pixels"),
        ),
        program(
            "decode",
            programs.decode,
            system.vae,
            build.pieces(pieces, chunk, *decoded, channels),
            shards=pieces,
            calls=calls,
            resident_bytes=buffers,
        ),
    ]


def _decoding(
    plan: VEnhancerPlan,
    cut: DecoderPieces | PublishedPieces,
    latent: tuple[int, int],
    batch: int,
) -> tuple[int, tuple[int, int], float, int]:
    """Plans the decoder.

    Returns:
      Frames and latent size of the largest piece, calls of such a piece, and bytes on each device
      of the frames of a chunk that is blended.
    """
    chunks = [len(span) for span in cut.chunks(plan.time.frames)]
    chunk = max(chunks)
    boxes = cut.tiles((chunk, *latent))
    largest = max(boxes, key=lambda box: math.prod(box.shape))
    share = sum(math.prod(box.shape) for box in boxes) / math.prod(largest.shape)
    calls = sum(math.ceil(chunks.count(length) / batch) * length / chunk for length in set(chunks))
    # The blended chunk, and the same chunk weighted and added to the frames before.
    frame_bytes = 4 * 3 * math.prod(latent) * cut.scale**2
    buffers = frame_bytes * chunk * (3 if len(boxes) > 1 else 2)
    return chunk, largest.shape[1:], calls * share, buffers
