"""A training run from its config: task, mesh, data, loop, weights."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath
from ml_collections import ConfigDict

from venhancer_jax.data.augment import AugmentConfig
from venhancer_jax.data.pipeline import training_pipeline
from venhancer_jax.data.records import is_dataset
from venhancer_jax.data.sources import FolderSource, PreparedSource, SyntheticSource
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import parse_fps
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import replicated
from venhancer_jax.sharding.params import fsdp_sharding, training_mesh
from venhancer_jax.training import loop
from venhancer_jax.training.autoencoder import latent_scale
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.log import MetricsLog
from venhancer_jax.training.networks import export
from venhancer_jax.training.state import TrainState, make_optimizer
from venhancer_jax.training.step import make_step
from venhancer_jax.training.tasks import Task, task_of

# Of which the spread of the latents is measured at the end of the training of a VAE.
_SCALE_BATCHES = 16


def train(config: ConfigDict, workdir: epath.PathLike) -> TrainState:
    """Trains as the config says; goes on where an earlier run in `workdir` stopped.

    The average of the parameters ends up in `workdir/weights`, a weight folder.

    Raises:
      InputError: a wrong value, or weights or data that are not there.
    """
    workdir = epath.Path(workdir)
    mesh = training_mesh(config.mesh)
    task = task_of(config)
    data = iter(_data(config))
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(config.to_json_best_effort(indent=2))

    optimizer = make_optimizer(
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup_steps,
        clip_norm=config.clip_norm,
        weight_decay=config.weight_decay,
        accumulate=config.accumulate,
        decay_steps=config.steps // config.accumulate if config.cosine_decay else None,
    )
    start = functools.partial(TrainState.start, optimizer=optimizer)
    shardings = fsdp_sharding(mesh, jax.eval_shape(start, task.params))
    trains = jax.device_put(task.params, fsdp_sharding(mesh, task.params))
    state = jax.jit(start, out_shardings=shardings)(trains)
    frozen = {
        name: jax.device_put(
            params, fsdp_sharding(mesh, params) if name == "denoiser" else replicated(mesh)
        )
        for name, params in task.frozen.items()
    }
    pure = make_step(task.objective, optimizer, seed=config.seed, ema_decay=config.ema_decay)
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
            state = loop.run(
                step,
                state,
                frozen,
                data,
                mesh=mesh,
                checkpoints=checkpoints,
                log=log,
                options=loop.LoopOptions(
                    steps=config.steps,
                    log_every=config.log_every,
                    flops=count_flops(pure, state, frozen, _batch_shapes(config)),
                    peak_flops=1e12 * config.peak_tflops,
                ),
            )
    finally:
        checkpoints.close()
        log.close()
    if int(state.step) == config.steps:
        _export(task, state, data, workdir)
    return state


def _export(task: Task, state: TrainState, data: Any, workdir: epath.Path) -> None:
    params, config = task.whole(jax.device_get(state.ema)), task.source.config
    if task.name == "vae":
        batches = itertools.islice(data, _SCALE_BATCHES)
        scale = latent_scale(task.source.network, params, batches)
        config = dataclasses.replace(config, scaling_factor=scale)
    export(workdir / "weights", task.name, config, params)
    print(f"wrote {workdir / 'weights'}", flush=True)


def _data(config: ConfigDict) -> Any:
    chosen = config.augment.to_dict()
    augment = AugmentConfig(
        frames=config.frames,
        height=config.height,
        width=config.width,
        rate=parse_fps(config.fps) if config.fps else None,
        **chosen,
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
    folder = epath.Path(config.data)
    if not folder.is_dir():
        raise InputError(f"data {config.data!r}: expected a folder, or synthetic")
    return PreparedSource(folder) if is_dataset(folder) else FolderSource(folder)


def _batch_shapes(config: ConfigDict) -> dict[str, jax.ShapeDtypeStruct]:
    b, f, h, w = config.batch, config.frames, config.height, config.width
    shapes = {
        "video": ((b, f, h, w, 3), jnp.uint8),
        "low": ((b, f, h, w, 3), jnp.uint8),
        "key_index": ((b, f), jnp.int32),
        "scale": ((b,), jnp.float32),
        "noise_aug": ((b,), jnp.int32),
        "tokens": ((b, 77), jnp.int32),
    }
    return {name: jax.ShapeDtypeStruct(*spec) for name, spec in shapes.items()}
