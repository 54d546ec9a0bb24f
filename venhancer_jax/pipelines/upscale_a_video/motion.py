"""The optical flow of a clip, and the propagation of clean latents along it."""

import math

import jax
import jax.numpy as jnp

from venhancer_jax.diffusion.propagation import propagate
from venhancer_jax.diffusion.solvers import Refine
from venhancer_jax.models.raft.raft import ITERATIONS, STRIDE
from venhancer_jax.pipelines.flow import LEAST_SIDE, check_raft, flows_of_pairs
from venhancer_jax.pipelines.spec_builder import SpecBuilder
from venhancer_jax.pipelines.system import LoadedNetwork, ProgramSpec
from venhancer_jax.pipelines.upscale_a_video import flow
from venhancer_jax.pipelines.upscale_a_video.flow import Flows
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import Tile, UpscaleAVideoPlan
from venhancer_jax.pipelines.upscale_a_video.source import Source, pad


def check_flow(raft: LoadedNetwork | None, options: UpscaleAVideoOptions) -> None:
    """Checks that there is an optical flow to propagate along.

    Raises:
      InputError: propagation without the weights of the optical flow.
    """
    if options.propagation_steps and options.flow == "raft":
        check_raft(raft, f"propagation_steps {options.propagation_steps}")


def compute_flows(
    raft: LoadedNetwork | None, source: Source, options: UpscaleAVideoOptions
) -> Flows:
    """Computes the flow between neighbouring frames, both ways, of the padded frames.

    Args:
      raft: optical flow network; unused with the flow `dis`.
      source: low-resolution frames.
      options: options of the user.

    Returns:
      float32 flows `[F - 1, h, w, 2]` from each frame to the next one and back, columns then rows.

    Raises:
      InputError: frames that are too small for the flow `dis` in the published program.
    """
    size = source.plan.space.padded
    frames = pad(source.frames, flow_size(source.plan, options))
    if options.flow == "dis":
        flows = flow.bidirectional_dis_flow(frames)
    else:
        assert raft is not None
        flows = flow.bidirectional_flow(
            raft.network, raft.params, frames, official_rows=options.quirks.published_rows
        )
    return crop_flows(flows, (0, size[0]), (0, size[1]))


def flow_size(plan: UpscaleAVideoPlan, options: UpscaleAVideoOptions) -> tuple[int, int]:
    """Returns the size of the frames that flows are computed of; the default pads small ones."""
    least = 0 if options.quirks.published_size else LEAST_SIDE
    height, width = plan.space.padded
    return max(height, least), max(width, least)


def crop_flows(flows: Flows, rows: tuple[int, int], columns: tuple[int, int]) -> Flows:
    """Returns the flows of some rows and columns."""
    forward, backward = (f[:, slice(*rows), slice(*columns)] for f in flows)
    return forward, backward


def refiner(flows: Flows, tile: Tile, options: UpscaleAVideoOptions) -> Refine:
    """Returns the propagation of the clean latents `[1, F, h, w, C]` of a tile.

    Args:
      flows: flows of the whole frames.
      tile: tile that is denoised by itself.
      options: options of the user, with the steps at which latents are propagated.
    """
    forward, backward = map(jnp.asarray, crop_flows(flows, tile.rows, tile.columns))
    steps = options.propagation_steps if len(forward) else ()  # one frame has no neighbour

    def refine(x0: jax.Array, step: int) -> jax.Array:
        return propagate(x0, forward, backward) if step in steps else x0

    return refine


def flow_specs(
    raft: LoadedNetwork | None,
    plan: UpscaleAVideoPlan,
    options: UpscaleAVideoOptions,
    build: SpecBuilder,
    pieces: int,
) -> list[ProgramSpec]:
    """Describes the optical flow of a run; empty where none is computed by a network.

    Args:
      raft: optical flow network.
      plan: plan of the clip.
      options: options of the user.
      build: builds the specs of the run.
      pieces: pairs of frames that are computed together.
    """
    pairs = plan.clip.frames - 1
    if raft is None or not pairs or not options.propagation_steps or options.flow != "raft":
        return []
    rows, columns = (math.ceil(side / STRIDE) for side in flow_size(plan, options))
    config = raft.config
    maps = build.pieces(pieces, rows, columns, config.features + 2 * config.hidden)
    return [
        build.program(
            "flow",
            flows_of_pairs,
            raft,
            maps,
            maps,
            static=(ITERATIONS,),
            shards=pieces,
            calls=2 * math.ceil(pairs / pieces),
            scales_with=("pixels",),
        )
    ]
