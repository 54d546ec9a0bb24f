"""The programs of an enhancement by GenVE, abstract: those of VEnhancer, and the reference's."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from venhancer_jax.models.raft.raft import ITERATIONS, STRIDE
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.denoise import windows_per_call
from venhancer_jax.pipelines.flow import LEAST_SIDE, flows_of_pairs
from venhancer_jax.pipelines.genve.conditions import compute_texture
from venhancer_jax.pipelines.genve.image_diffuser import LatentDiffuser
from venhancer_jax.pipelines.genve.key_frames import choose_key_frames
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.spec_builder import SpecBuilder, count_network_calls, split
from venhancer_jax.pipelines.step_cache import StepCache, StepPlan
from venhancer_jax.pipelines.system import LoadedNetwork, ProgramSpec
from venhancer_jax.pipelines.venhancer import program_specs as venhancer
from venhancer_jax.pipelines.venhancer.networks import VEnhancerNetworks
from venhancer_jax.pipelines.venhancer.plan import VEnhancerPlan
from venhancer_jax.sharding.mesh import num_shards, partition_spec


def program_specs(
    system: VEnhancerNetworks,
    raft: LoadedNetwork | None,
    image: LatentDiffuser | None,
    plan: VEnhancerPlan,
    options: GenVEOptions,
) -> list[ProgramSpec]:
    """Lists the programs of an enhancement with a reference, in the order of the run.

    Args:
      system: networks on a mesh, with weights or abstract.
      raft: optical flow; None where none is computed by a network.
      image: image diffuser; None for a picture that is provided.
      plan: plan of the clip.
      options: options of the enhancement.
    """
    assert system.mesh is not None
    config, mesh = system.denoiser.config, system.mesh
    others = [] if raft is None else [raft]
    if image is not None and image.denoiser.params is not system.denoiser.params:
        others.append(image.denoiser)
    specs = venhancer.program_specs(system, plan, options, others)
    build = venhancer.spec_builder(system, plan, options, others)
    frames, *tile = max((box.shape for box in plan.boxes()), key=math.prod)
    with jax.set_mesh(mesh):
        windows = windows_per_call(guided=options.guided)
        evenly = frames % num_shards("frame") == 0
        by_frame = NamedSharding(mesh, partition_spec((None, "frame" if evenly else None)))
    window = build.array(windows, frames, *tile, config.latent_channels)
    texture = jax.ShapeDtypeStruct(
        (windows, frames, *(side // config.patch for side in tile), config.width),
        jnp.dtype(config.dtype),
        sharding=by_frame,
    )
    texture_bytes = math.prod(by_frame.shard_shape(texture.shape)) * texture.dtype.itemsize
    calls = math.ceil(plan.window_count / windows)
    pixels = system.vae.config.pixels_per_latent
    size = plan.working_size[0] // pixels, plan.working_size[1] // pixels
    # The warped reference, and the textures of the windows that are not computed.
    held = 4 * plan.time.frames * math.prod(size) * config.latent_channels
    held += (calls - 1) * texture_bytes
    added = [
        build.program(
            "texture",
            compute_texture,
            system.denoiser,
            window,
            window,
            shards=split(mesh.shape, windows, frames),
            calls=calls,
            scales_with=("window", "pixels"),
        )
    ]
    if raft is not None:
        added.insert(0, _flow(build, raft, plan, system.num_pieces()))
    if image is not None:
        added.insert(0, _image(build, system, image, plan, options, size))

    found = []
    for spec in specs:
        if spec.name == "denoise":
            *before, conditions, cache = spec.arguments
            spec = dataclasses.replace(
                spec,
                arguments=(*before, {**conditions, "texture": texture}, cache),
                resident_bytes=spec.resident_bytes + held,
            )
            found += added
        found.append(spec)
    return found


def _image(
    build: SpecBuilder,
    system: VEnhancerNetworks,
    image: LatentDiffuser,
    plan: VEnhancerPlan,
    options: GenVEOptions,
    size: tuple[int, int],
) -> ProgramSpec:
    """Describes a step of the image diffuser."""
    assert system.mesh is not None
    guided = options.image_guidance != 1
    copies = 2 if guided else 1
    with jax.set_mesh(system.mesh):
        windows = windows_per_call(guided=guided)
        boxes = image.boxes(size, options)
    largest = max((box.shape for box in boxes), key=math.prod)
    keys = len(choose_key_frames(plan.clip.frames, 0, options).positions)
    steps = count_network_calls(image.plan_steps(options))
    number = build.array()
    return build.program(
        "image",
        programs.denoise,
        image.denoiser,
        build.array(windows, *largest, system.denoiser.config.latent_channels),
        build.array(dtype=jnp.int32),
        (number, number),
        build.text_kv(system.text.load(), image.denoiser, copies),
        (number, number),
        {},
        StepCache(),
        static=(StepPlan() if guided else StepPlan(difference=None),),
        shards=split(system.mesh.shape, copies * windows, 1),
        calls=keys * steps * math.ceil(len(boxes) / windows),
        scales_with=("pixels",),
    )


def _flow(build: SpecBuilder, raft: LoadedNetwork, plan: VEnhancerPlan, pieces: int) -> ProgramSpec:
    """Describes the optical flow from each frame to its key frame."""
    sides = (max(side, LEAST_SIDE) for side in (plan.clip.height, plan.clip.width))
    rows, columns = (math.ceil(side / STRIDE) for side in sides)
    maps = build.pieces(pieces, rows, columns, raft.config.features + 2 * raft.config.hidden)
    return build.program(
        "flow",
        flows_of_pairs,
        raft,
        maps,
        maps,
        static=(ITERATIONS,),
        shards=pieces,
        calls=math.ceil(plan.clip.frames / pieces),
    )
