"""The programs of an enhancement, abstract: shapes and shardings of `UpscaleAVideo`'s calls."""

import math

import jax
import jax.numpy as jnp

from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.denoise import windows_per_call
from venhancer_jax.pipelines.pieces import Box
from venhancer_jax.pipelines.spec_builder import SpecBuilder, count_network_calls, split
from venhancer_jax.pipelines.step_cache import StepCache, StepPlan
from venhancer_jax.pipelines.system import ProgramSpec
from venhancer_jax.pipelines.upscale_a_video.motion import flow_specs
from venhancer_jax.pipelines.upscale_a_video.networks import UpscaleAVideoNetworks
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import SCALE, UpscaleAVideoPlan
from venhancer_jax.sharding.mesh import num_shards

# Channels of the arrays as large as the input that are held while it is denoised: frames, their
# noise and their sum; latents, state of the solver, clean latents, and the blended windows.
_CHANNELS_HELD = 3 * 3 + 4 * 6


def program_specs(
    system: UpscaleAVideoNetworks, plan: UpscaleAVideoPlan, options: UpscaleAVideoOptions
) -> list[ProgramSpec]:
    """Lists the programs of an enhancement, in the order of the run.

    Args:
      system: networks on a mesh, with weights or abstract.
      plan: plan of the clip.
      options: options of the enhancement.
    """
    assert system.mesh is not None
    mesh, config = system.mesh, system.denoiser.config
    copies = 2 if options.guided else 1
    with jax.set_mesh(mesh):
        pieces, windows = num_shards("piece"), windows_per_call(guided=options.guided)
    channels = _CHANNELS_HELD + (config.latent_channels if options.fidelity else 0)
    held = 4 * channels * plan.clip.frames * math.prod(plan.space.padded)
    networks = [system.vae, system.denoiser, *([] if system.raft is None else [system.raft])]
    build = SpecBuilder(mesh, networks, held)
    number, encoder = build.array(), system.text.load()
    boxes = [box for tile in plan.space.tiles for box in plan.boxes(tile)]
    frames, *size = max((box.shape for box in boxes), key=math.prod)
    step = StepPlan() if options.guided else StepPlan(difference=None)
    calls = math.ceil(_in_units(boxes) / windows)
    denoise = build.program(
        "denoise",
        programs.denoise,
        system.denoiser,
        build.array(windows, frames, *size, config.latent_channels),
        build.array(dtype=jnp.int32),
        (number, number),
        build.text_kv(encoder, system.denoiser, copies),
        (number, number),
        {
            "low_res": build.array(windows, frames, *size, 3),
            "label": build.array(windows, dtype=jnp.int32),
        },
        StepCache(),
        static=(step,),
        shards=split(mesh.shape, copies * windows, frames),
        calls=calls * count_network_calls(system.scheduler.ddim_steps(options.steps)),
        scales_with=("window", "pixels"),
    )
    return [
        build.text(encoder, copies),
        *([_encoding(system, plan, build, pieces)] if options.fidelity else []),
        *flow_specs(system.raft, plan, options, build, pieces),
        denoise,
        _decoding(system, plan, build, pieces),
    ]


def _encoding(
    system: UpscaleAVideoNetworks, plan: UpscaleAVideoPlan, build: SpecBuilder, pieces: int
) -> ProgramSpec:
    """Describes the encoder, which `fidelity` alone needs."""
    tiles = [box for tile in plan.space.tiles for box in plan.decoder_tiles(tile, 1)]
    rows, columns = max((box.shape[1:] for box in tiles), key=math.prod)
    return build.program(
        "encode",
        programs.encode,
        system.vae,
        build.pieces(pieces, 1, SCALE * rows, SCALE * columns, 3),
        shards=pieces,
        calls=math.ceil(plan.clip.frames / pieces) * _in_units(tiles),
        scales_with=("pixels",),
    )


def _decoding(
    system: UpscaleAVideoNetworks, plan: UpscaleAVideoPlan, build: SpecBuilder, pieces: int
) -> ProgramSpec:
    vae = system.vae
    chunk = max(map(len, plan.chunks))
    tiles = [box for tile in plan.space.tiles for box in plan.decoder_tiles(tile, chunk)]
    size = max((box.shape[1:] for box in tiles), key=math.prod)
    condition = [build.pieces(pieces, chunk, *size, 3)] if vae.config.condition_channels else []
    chunks = sum(map(len, plan.chunks)) / chunk
    # The joined chunk, and those that it is blended and finished from.
    frame_bytes = 4 * 3 * math.prod(plan.working_size)
    return build.program(
        "decode",
        programs.decode,
        vae,
        build.pieces(pieces, chunk, *size, vae.config.latent_channels),
        *condition,
        shards=pieces,
        calls=math.ceil(chunks / pieces) * _in_units(tiles),
        resident_bytes=frame_bytes * chunk * (3 if len(tiles) > 1 else 2),
        scales_with=("pixels",),
    )


def _in_units(boxes: list[Box]) -> float:
    """Returns the work of boxes in units of the largest."""
    sizes = [math.prod(box.shape) for box in boxes]
    return sum(sizes) / max(sizes)
