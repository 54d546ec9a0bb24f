"""A training run from its config: networks, mesh, data, loop."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from venhancer_jax import weights
from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.records import is_dataset
from venhancer_jax.data.sources import FolderSource, PreparedSource, SyntheticSource
from venhancer_jax.diffusion.schedule import venhancer_schedule
from venhancer_jax.errors import InputError
from venhancer_jax.models import catalog
from venhancer_jax.models.clip_text import ClipTextConfig
from venhancer_jax.models.functional import Network, Params
from venhancer_jax.models.unet3d import UNet3DConfig
from venhancer_jax.models.vae import VAEConfig
from venhancer_jax.pipelines.load import compute_dtype
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import replicated
from venhancer_jax.sharding.params import fsdp_sharding, training_mesh
from venhancer_jax.training import loop
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.log import MetricsLog
from venhancer_jax.training.objective import Objective
from venhancer_jax.training.state import TrainState, copy_prior, make_optimizer, split
from venhancer_jax.training.step import make_step

_PRESETS = {
    # The least that has every kind of layer: compiles in seconds.
    "debug": {
        "venhancer": UNet3DConfig.tiny(
            width=64, multipliers=(1, 1), blocks_per_level=1, attention_levels=(0,)
        ),
        "vae": VAEConfig.tiny(channels=(16, 16, 32)),
        "text": ClipTextConfig.tiny().only_used(),
    },
    # Width 32 would leave one channel to a norm group, which cancels the time embedding.
    "tiny": {
        "venhancer": UNet3DConfig.tiny(width=64),
        "vae": VAEConfig.tiny(),
        "text": ClipTextConfig.tiny().only_used(),
    },
    "venhancer": {
        "venhancer": UNet3DConfig.venhancer(),
        "vae": VAEConfig.svd(),
        "text": ClipTextConfig.vit_h_14().only_used(),
    },
}


def train(config: ConfigDict, workdir: Path) -> TrainState:
    """Trains as the config says; goes on where an earlier run in `workdir` stopped.

    Raises:
      InputError: a wrong value, or weights or data that are not there.
    """
    if config.preset not in _PRESETS:
        raise InputError(f"preset {config.preset!r}: expected one of {', '.join(_PRESETS)}")
    if config.trainable not in ("controlnet", "all"):
        raise InputError(f"trainable {config.trainable!r}: expected controlnet or all")
    mesh = training_mesh(config.mesh)
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(config.to_json_best_effort(indent=2))
    data = iter(_data(config))

    networks, params = _networks(config)
    if config.copy_prior:
        params["venhancer"] = copy_prior(params["venhancer"])
    trains, frozen = split(params["venhancer"], config.trainable)
    optimizer = make_optimizer(
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        weight_decay=config.weight_decay,
        accumulate=config.accumulate,
    )
    start = functools.partial(TrainState.start, optimizer=optimizer)
    shardings = fsdp_sharding(mesh, jax.eval_shape(start, trains))
    trains = jax.device_put(trains, fsdp_sharding(mesh, trains))
    state = jax.jit(start, out_shardings=shardings)(trains)
    fixed = loop.Frozen(
        denoiser=jax.device_put(frozen, fsdp_sharding(mesh, frozen)),
        vae=jax.device_put(params["vae"], replicated(mesh)),
        text=jax.device_put(params["text"], replicated(mesh)),
    )

    objective = Objective(
        networks["venhancer"],
        networks["vae"],
        networks["text"],
        _vae_scale(config),
        venhancer_schedule(),
    )
    pure = make_step(objective, optimizer, seed=config.seed, ema_decay=config.ema_decay)
    step = jax.jit(pure, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))
    checkpoints = Checkpoints(
        workdir / "checkpoints",
        save_every=config.save_every,
        keep=config.keep,
        keep_every=config.keep_every,
    )
    log = MetricsLog(workdir / "metrics.jsonl")
    try:
        with jax.set_mesh(mesh):
            return loop.run(
                step,
                state,
                fixed,
                data,
                mesh=mesh,
                checkpoints=checkpoints,
                log=log,
                options=loop.LoopOptions(
                    steps=config.steps,
                    log_every=config.log_every,
                    flops=_flops(pure, state, fixed, config),
                    peak_flops=1e12 * config.peak_tflops,
                ),
            )
    finally:
        checkpoints.close()
        log.close()


def _networks(config: ConfigDict) -> tuple[dict[str, Network], dict[str, Params]]:
    """Networks and parameters, float32, fresh or from weight folders."""
    compute = compute_dtype(config.dtype)
    runtime = {"venhancer": {"dtype": compute}, "vae": {"dtype": compute}, "text": {}}
    folders = {"venhancer": config.prior, "vae": config.vae, "text": config.text}
    networks, params = {}, {}
    for i, (name, folder) in enumerate(folders.items()):
        sizes = catalog.to_facts(_PRESETS[config.preset][name])
        if folder:
            sizes = weights.read_about(folder)["config"]
        network_config = catalog.from_facts(name, sizes, **runtime[name])
        if isinstance(network_config, ClipTextConfig):
            network_config = network_config.only_used()
        networks[name] = catalog.build(name, network_config)
        if folder:
            params[name] = weights.load_weights(folder, networks[name].shapes)
        else:
            params[name] = networks[name].init(jax.random.fold_in(jax.random.key(config.seed), i))
    return networks, params


def _vae_scale(config: ConfigDict) -> float:
    sizes = weights.read_about(config.vae)["config"] if config.vae else {}
    return sizes.get("scaling_factor", VAEConfig().scaling_factor)


def _data(config: ConfigDict) -> Any:
    augment = AugmentConfig(
        frames=config.frames,
        height=config.height,
        width=config.width,
        rate=parse_fps(config.fps) if config.fps else None,
    )
    count = jax.process_count()
    if config.batch % count:
        raise InputError(f"batch {config.batch}: expected a multiple of the {count} processes")
    return training_pipeline(
        _source(config),
        augment,
        batch=config.batch // count,
        seed=config.seed,
        shard_index=jax.process_index(),
        shard_count=count,
        workers=config.workers,
    )


def _source(config: ConfigDict) -> Any:
    if config.data == "synthetic":
        return SyntheticSource()
    folder = Path(config.data)
    if not folder.is_dir():
        raise InputError(f"data {config.data!r}: expected a folder, or synthetic")
    return PreparedSource(folder) if is_dataset(folder) else FolderSource(folder)


def _flops(pure: Any, state: TrainState, fixed: loop.Frozen, config: ConfigDict) -> int:
    """Operations of a step, gradients included."""
    b, f, h, w = config.batch, config.frames, config.height, config.width
    shapes = {
        "video": ((b, f, h, w, 3), jnp.uint8),
        "low": ((b, f, h, w, 3), jnp.uint8),
        "key_index": ((b, f), jnp.int32),
        "scale": ((b,), jnp.float32),
        "noise_aug": ((b,), jnp.int32),
        "tokens": ((b, 77), jnp.int32),
    }
    batch = {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
    return count_flops(pure, state, fixed.denoiser, fixed.vae, fixed.text, batch)
