"""The programs of an enhancement, for a clip that need not be there."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from ml_collections import ConfigDict

from venhancer_jax import weights
from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.errors import InputError
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.pipelines import catalog, run
from venhancer_jax.pipelines.config import mesh_of, options_of
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.venhancer import decode, programs
from venhancer_jax.pipelines.venhancer.load import compute_dtype, stored_shapes
from venhancer_jax.pipelines.venhancer.plan import SpacePlan, TimePlan, plan_steps, plan_time
from venhancer_jax.pipelines.venhancer.system import Part, VEnhancer
from venhancer_jax.planning.analytic import shard_bytes
from venhancer_jax.planning.program import Program
from venhancer_jax.planning.topology import Topology
from venhancer_jax.sharding.mesh import num_shards, partition_spec, replicated
from venhancer_jax.sharding.params import fsdp_sharding
from venhancer_jax.training.networks import PRESETS
from venhancer_jax.video.windows import sliding_windows

# Of a clip that is described by its size.
DEFAULT_RATE = Fraction(24)
TOKENS = 77
# Arrays as large as the latents of the clip that are held while it is denoised: mean, deviation,
# start, hint, the solver's state, its noise, and the windows that are put together.
_LATENTS_HELD = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """What is enhanced.

    Attributes:
      space: sizes.
      time: frames.
      options: of the enhancement.
      frames: of the input.
    """

    space: SpacePlan
    time: TimePlan
    options: EnhanceOptions
    frames: int

    @property
    def seconds(self) -> float:
        """Of the output."""
        return float(len(self.time.take) / self.time.rate)

    @property
    def window(self) -> int:
        """Frames of the longest window."""
        return max(end - start for start, end in self.time.windows)

    @property
    def work(self) -> int:
        """What to compare clips by."""
        return math.prod(self.space.working_size) * self.time.frames


def parse_clip(text: str) -> tuple[int, int, int]:
    """Height, width and frames of `720x1280x32`.

    Raises:
      InputError: no such three numbers.
    """
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise InputError(f"plan_clip {text!r}: expected HEIGHTxWIDTHxFRAMES, such as 720x1280x32")
    height, width, frames = map(int, parts)
    return height, width, frames


def abstract_system(config: ConfigDict, topology: Topology) -> VEnhancer:
    """The system that a config names, with shapes in the place of weights.

    The networks are those of `config.preset`, or of the weight folder where `config.checkpoint`
    and the others name one; `auto` is bfloat16, as on all accelerators.

    Raises:
      InputError: an unknown preset or type.
    """
    if config.preset not in PRESETS:
        raise InputError(f"preset {config.preset!r}: expected one of {', '.join(PRESETS)}")
    dtype = compute_dtype("bfloat16" if config.dtype == "auto" else config.dtype)
    mesh = mesh_of(config, topology.devices)
    unet = _config(config.preset, "venhancer", config.checkpoint)
    text = _config(config.preset, "text", config.text_checkpoint)
    if config.text_checkpoint == "none":
        text = NullTextConfig(width=unet.context_width)
    vae = _config(config.preset, "vae", config.vae_checkpoint)
    return VEnhancer(
        _part("venhancer", dataclasses.replace(unet, dtype=dtype), mesh),
        _part("vae", dataclasses.replace(vae, dtype=dtype), mesh),
        _part("no_text" if isinstance(text, NullTextConfig) else "text", text, mesh),
        mesh=mesh,
    )


def clip_of(config: ConfigDict, system: VEnhancer, described: str) -> Clip:
    """The clip of the config that takes the most, or the one that is described.

    Args:
      config: of `enhancement_config`.
      system: whose working sizes are taken.
      described: `HEIGHTxWIDTHxFRAMES` of the output, or empty for the input of the config. Every
        frame of it is a key frame, which takes the most.

    Raises:
      InputError: a wrong value, or no input.
    """
    if not described:
        if not config.input:
            raise InputError(
                "no input: give --config.input=VIDEO or --plan_clip=HEIGHTxWIDTHxFRAMES"
            )
        jobs, _ = run.check(config)
        clips = [
            Clip(
                space=system.plan_space(job.info.height, job.info.width, job.options),
                time=job.time,
                options=job.options,
                frames=job.frames,
            )
            for job in jobs
        ]
        return max(clips, key=lambda clip: clip.work)
    height, width, frames = parse_clip(described)
    options = dataclasses.replace(options_of(config, config.prompt), target_size=(height, width))
    rate = options.target_fps or DEFAULT_RATE
    return Clip(
        space=system.plan_space(height, width, options),
        time=plan_time(frames, rate, options),
        options=options,
        frames=frames,
    )


def programs_of(system: VEnhancer, clip: Clip) -> list[Program]:
    """What an enhancement compiles: text, encode, denoise, decode.

    The arguments are those that `VEnhancer` calls `programs` with.
    """
    assert system.mesh is not None
    mesh, options = system.mesh, clip.options
    place = replicated(mesh)
    pixels = system.vae.config.pixels_per_latent
    channels = system.denoiser.config.latent_channels
    rows, columns = clip.space.working_size
    latent = (rows // pixels, columns // pixels, channels)
    window, pair = clip.window, 2 if options.guidance_scale != 1 else 1
    with jax.set_mesh(mesh):
        pieces, windows = num_shards("piece"), max(1, num_shards("batch") // pair)
        by_piece = NamedSharding(mesh, partition_spec(programs.PIECES))
    weights_bytes = sum(shard_bytes(p.params) for p in (system.text, system.vae, system.denoiser))
    held = _LATENTS_HELD * 4 * clip.time.frames * math.prod(latent)

    def array(
        *shape: int, dtype: Any = jnp.float32, sharding: NamedSharding = place
    ) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    def program(name: str, function: Any, part: Part[Any], *inputs: Any, **facts: Any) -> Program:
        others = weights_bytes - shard_bytes(part.params)
        return Program(
            name=name,
            function=function,
            static=(part.network,),
            arguments=(part.params, *inputs),
            mesh=mesh,
            resident_bytes=others + held,
            **facts,
        )

    tokens = array(pair, TOKENS, dtype=jnp.int32)
    features = jax.eval_shape(lambda p, t: system.text.network(p, t), system.text.params, tokens)
    text = jax.tree.map(
        lambda x: array(*x.shape, dtype=x.dtype),
        jax.eval_shape(
            lambda p, t: programs.compute_text_kv(system.denoiser.network, p, t),
            system.denoiser.params,
            features,
        ),
    )
    local = np.array(clip.time.key_index)
    start, end = max(clip.time.windows, key=lambda each: each[1] - each[0])
    keys = int((local[start:end] >= 0).sum())
    conditions = {
        "hint": array(windows, keys, *latent),
        "hint_t": array(windows, dtype=jnp.int32),
        "scale": array(windows),
        "key_index": array(windows, window, dtype=jnp.int32),
    }
    one = array()
    chunk, tiles, share = _decoded(clip.time.frames, latent[:2], pieces)
    encoded = clip.time.frames if options.interpolation == "flow" else clip.frames
    return [
        program("text", programs.embed_text, system.text, tokens, parts=1),
        program(
            "encode",
            programs.encode,
            system.vae,
            array(pieces, 1, rows, columns, 3, sharding=by_piece),
            parts=pieces,
            calls=math.ceil(encoded / pieces),
        ),
        program(
            "denoise",
            programs.denoise,
            system.denoiser,
            array(windows, window, *latent),
            array(dtype=jnp.int32),
            (one, one),
            text,
            (one, one),
            conditions,
            parts=split(mesh.shape, pair * windows, window),
            calls=math.ceil(len(clip.time.windows) / windows) * _network_calls(system, options),
        ),
        program(
            "decode",
            programs.decode,
            system.vae,
            array(pieces, chunk, *tiles, channels, sharding=by_piece),
            parts=pieces,
            calls=share,
        ),
    ]


def split(mesh: Mapping[str, int], videos: int, frames: int) -> float:
    """Devices' worth of work that a denoising step is split into, padded frames counted as work.

    Args:
      mesh: devices along its axes.
      videos: guidance pair times windows.
      frames: of a window.
    """
    by_video = min(videos, mesh["data"] * mesh["fsdp"])
    return by_video * mesh["rows"] * frames / math.ceil(frames / mesh["context"])


def _config(preset: str, name: str, checkpoint: str) -> Any:
    if checkpoint and weights.is_weights(checkpoint):
        found: Any = catalog.config_from_dict(name, weights.read_about(checkpoint)["config"])
        return found.only_used() if isinstance(found, ClipTextConfig) else found
    return PRESETS[preset][name]


def _part(name: str, config: Any, mesh: Mesh) -> Part[Any]:
    network = catalog.build(name, config)
    shapes = stored_shapes(config, network) if network.shapes else {}
    shardings = fsdp_sharding(mesh, shapes)
    params: Any = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=shardings[name])
        for name, x in shapes.items()
    }
    return Part(config, network, params)


def _network_calls(system: VEnhancer, options: EnhanceOptions) -> int:
    """Of each window, by running the solver on a single number."""
    calls = 0

    def count(x: jax.Array, t: Any) -> jax.Array:
        nonlocal calls
        calls += 1
        return x

    steps = plan_steps(system.schedule, options)
    solve(count, jnp.zeros((1,) * 5), steps, lambda stream, step, shape: jnp.zeros(shape))
    return calls


def _decoded(
    frames: int, latent: tuple[int, int], at_once: int
) -> tuple[int, tuple[int, int], float]:
    """Frames and size of the largest piece that is decoded, and calls of so many such pieces."""
    chunks, *tiles = [
        [end - start for start, end in sliding_windows(length, size, overlap)]
        for length, size, overlap in (
            (frames, decode.CHUNK_FRAMES, decode.CHUNK_OVERLAP),
            (latent[0], decode.TILE_SIZE[0], decode.TILE_OVERLAP[0]),
            (latent[1], decode.TILE_SIZE[1], decode.TILE_OVERLAP[1]),
        )
    ]
    runs = [(length, len(list(alike))) for length, alike in itertools.groupby(chunks)]
    batches = [length for length, count in runs for _ in range(math.ceil(count / at_once))]
    share = math.prod(sum(each) / max(each) for each in (batches, *tiles))
    height, width = map(max, tiles)
    return max(chunks), (height, width), share
