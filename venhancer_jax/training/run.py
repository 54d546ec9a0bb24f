"""A training run from its config: task, mesh, data, loop, weights."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.chips import peak_flops
from venhancer_jax.sharding.flops import count_flops
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.sharding.processes import fetch_to_host, is_main_process, log_on_main
from venhancer_jax.training import loop
from venhancer_jax.training.autoencoder import latent_scale
from venhancer_jax.training.batches import check_batch
from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.compiled import jitted_step, on_mesh, optimizer_of, state_shapes
from venhancer_jax.training.data import DataIterator, batch_shapes, batches
from venhancer_jax.training.meter import Work
from venhancer_jax.training.networks import export
from venhancer_jax.training.objective import Batch, Frozen, Metrics
from venhancer_jax.training.profiler import Profiler
from venhancer_jax.training.records import Records
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.validation import Validation

# Of which the spread of the latents is measured at the end of the training of a VAE.
_SCALE_BATCHES = 16
# The clips of a validation are not drawn as those of the training are, even from the same folder.
_VALIDATION_SEED = 2**31


def train(config: ConfigDict, workdir: epath.PathLike) -> TrainState:
    """Trains as the config says; goes on where an earlier run in `workdir` stopped.

    The average of the parameters ends up in `workdir/weights`, a weight folder. With several
    processes (`processes.join`) all of them have to call this, with the same config but for
    `process_id`.

    Args:
      config: of `training_config`.
      workdir: local or `gs://`, the same for all processes.

    Returns:
      The state after the last step, or at the one where a signal stopped the run.

    Raises:
      InputError: a wrong value, or weights or data that are not there.
      FloatingPointError: the loss is no number any more.
    """
    workdir = epath.Path(workdir)
    mesh = device_mesh(config.mesh)
    check_batch(config.batch, mesh)
    shapes, data = batch_shapes(config), _data(config)
    task = task_of(config, mesh)
    validation = _validation(config, task, mesh, workdir / "samples")
    if is_main_process():
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "config.json").write_text(config.to_json_best_effort(indent=2))
    checkpoints = Checkpoints(
        workdir / "checkpoints",
        save_every=config.save_every,
        keep=config.keep,
        keep_every=config.keep_every,
    )
    optimizer = optimizer_of(config)
    stream = iter(data)
    state, start = _start(task.params, optimizer, mesh, checkpoints, stream)
    records = Records(workdir, after=start)
    compiled = jitted_step(config, task.objective, optimizer, mesh, state)

    def step(state: TrainState, frozen: Frozen, batch: Batch) -> tuple[TrainState, Metrics]:
        with jax.set_mesh(mesh):
            return compiled(state, frozen, batch)

    def validate(ema: Params, number: int) -> dict[str, Any]:
        assert validation is not None
        validation.sample(ema, number, records.board)
        return validation.measure(ema)

    with jax.set_mesh(mesh):
        flops = count_flops(compiled, state, task.frozen, on_mesh(shapes, mesh))
    profiler = Profiler(workdir / "profile", first=config.profile_from, steps=config.profile_steps)
    try:
        state = loop.run(
            step,
            state,
            task.frozen,
            stream,
            batches=batch_sharding(mesh),
            checkpoints=checkpoints,
            write=records.write,
            profiler=profiler,
            validate=validate if validation else None,
            work=Work(
                flops=flops,
                peak_flops=1e12 * config.peak_tflops or peak_flops(jax.devices()[0].device_kind),
            ),
            options=loop.LoopOptions(
                start=start,
                steps=config.steps,
                log_every=config.log_every,
                validate_every=config.validate_every,
            ),
        )
    finally:
        profiler.close()
        checkpoints.close()
        records.close()
    if int(state.step) == config.steps:
        _export(task, state.ema, stream, workdir / "weights", dtype=config.weights_dtype)
    return state


def _start(
    params: Params, optimizer: Any, mesh: Mesh, checkpoints: Checkpoints, data: DataIterator
) -> tuple[TrainState, int]:
    """The state that the run starts from, and the steps done; sets the position of the data.

    The parameters are given up for it.
    """
    like = state_shapes(params, optimizer, mesh)
    if checkpoints.latest is None:
        shardings = jax.tree.map(lambda x: x.sharding, like)
        begin = functools.partial(TrainState.start, optimizer=optimizer)
        return jax.jit(begin, out_shardings=shardings, donate_argnums=0)(params), 0
    for x in params.values():  # their place is needed
        x.delete()
    found = checkpoints.restore(like)
    assert found is not None
    state, start, position = found
    data.set_state(position["iterator"])
    log_on_main(f"resumed at step {start}")
    return state, start


def _validation(
    config: ConfigDict, task: Task, mesh: Mesh, folder: epath.Path
) -> Validation | None:
    if not (config.validate_every and config.validate_data):
        return None
    data = batches(config, config.validate_data, seed=config.seed + _VALIDATION_SEED)
    return Validation(
        task,
        iter(data),
        mesh=mesh,
        clips=config.validate_clips,
        batch=config.batch,
        seed=config.seed,
        steps=config.validate_steps,
        interpolation=config.augment.interpolation,
        folder=folder,
    )


def _export(task: Task, ema: Params, data: Any, folder: epath.Path, *, dtype: str) -> None:
    params, config = task.whole(ema), task.source.config
    if task.name == "vae":
        local: Params = {name: fetch_to_host(x) for name, x in sorted(params.items())}  # pyright: ignore
        part = itertools.islice(data, _SCALE_BATCHES)
        scale = latent_scale(task.source.network, local, part)
        config = dataclasses.replace(config, scaling_factor=scale)
    export(folder, task.name, config, params, dtype=dtype)
    log_on_main(f"wrote {folder}")


def _data(config: ConfigDict) -> Any:
    return batches(config, config.data, seed=config.seed, workers=config.workers)
