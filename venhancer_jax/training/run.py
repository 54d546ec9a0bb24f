"""A training run from its config: task, mesh, data, loop, weights."""

import functools
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from venhancer_jax.files import atomic_write
from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.chips import peak_flops
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.sharding.processes import fetch_to_host, is_main_process, log_on_main
from venhancer_jax.training import loop
from venhancer_jax.training.checkpoints import Checkpoints, fingerprints
from venhancer_jax.training.config import checked_config
from venhancer_jax.training.data import DataIterator, batch_shapes, batches
from venhancer_jax.training.metrics import MetricsWriter, Work
from venhancer_jax.training.objective import Batch, Frozen, Metrics
from venhancer_jax.training.profiler import Profiler
from venhancer_jax.training.state import TrainState, optimizer_of
from venhancer_jax.training.step import check_batch, compile_step, model_flops, state_shapes
from venhancer_jax.training.tasks import Task, export, task_of
from venhancer_jax.training.validation import Validation

# Validation draws its clips differently from training, even from the same folder.
_VALIDATION_SEED = 2**31


def train(config: ConfigDict, workdir: epath.PathLike) -> TrainState:
    """Trains as a config says; resumes where an earlier run in `workdir` stopped.

    The average of the parameters is written to `workdir/weights`, a weight folder. With several
    processes (`sharding.processes`) all of them have to call this, with equal configs except for
    `process_id`.

    Args:
      config: config of `training_config`.
      workdir: folder of checkpoints and metrics, local or `gs://`, the same for all processes.

    Returns:
      State after the last step, or where a signal stopped the run.

    Raises:
      InputError: a wrong value, missing weights or data, or other frozen weights than the run that
        is to be resumed.
      FloatingPointError: too many steps in a row had no finite loss, gradient or update.
    """
    config, workdir = checked_config(config), epath.Path(workdir)
    mesh = device_mesh(config.mesh)
    check_batch(config.batch, mesh)
    shapes = batch_shapes(config)
    data = iter(batches(config, config.data, seed=config.seed, workers=config.workers))
    task = task_of(config, mesh)
    optimizer = optimizer_of(config, task.groups)
    work = Work(
        flops=model_flops(task.objective, task.params, task.frozen, shapes),
        peak_flops=1e12 * config.peak_tflops or peak_flops(jax.devices()[0].device_kind),
    )
    validation = _validation(config, task, mesh, workdir / "samples")
    checkpoints = Checkpoints(
        workdir / "checkpoints",
        save_every=config.save_every,
        keep=config.keep,
        keep_every=config.keep_every,
        frozen=fingerprints(task.frozen),
    )
    state, start = _first_state(task, optimizer, mesh, checkpoints, data)
    _write_config(config, workdir)
    writer = MetricsWriter(workdir, after=start)
    profiler = Profiler(workdir / "profile", first=config.profile_from, steps=config.profile_steps)
    compiled = compile_step(config, task.objective, optimizer, mesh, state, task.groups)

    def step(state: TrainState, frozen: Frozen, batch: Batch) -> tuple[TrainState, Metrics]:
        with jax.set_mesh(mesh):
            return compiled(state, frozen, batch)

    def validate(ema: Params, number: int) -> dict[str, Any]:
        assert validation is not None
        validation.sample(ema, number, writer)
        return validation.measure(ema)

    try:
        state = loop.run(
            step,
            state,
            task.frozen,
            data,
            batches=batch_sharding(mesh),
            checkpoints=checkpoints,
            writer=writer,
            profiler=profiler,
            validate=validate if validation else None,
            work=work,
            options=loop.LoopOptions(
                start=start,
                steps=config.steps,
                log_every=config.log_every,
                validate_every=config.validate_every,
                max_skipped=config.max_skipped,
            ),
        )
    finally:
        profiler.close()
        checkpoints.close()
        writer.close()
    if int(state.step) == config.steps:
        _export(task, state.ema, data, workdir / "weights", dtype=config.weights_dtype)
    return state


def _first_state(
    task: Task, optimizer: Any, mesh: Mesh, checkpoints: Checkpoints, data: DataIterator
) -> tuple[TrainState, int]:
    """Returns the state to start from and the number of steps taken; positions the data.

    The task's parameters are donated to the state.
    """
    like = state_shapes(task.params, optimizer, mesh)
    if checkpoints.latest is None:
        shardings = jax.tree.map(lambda x: x.sharding, like)
        begin = functools.partial(TrainState.start, optimizer=optimizer)
        return jax.jit(begin, out_shardings=shardings, donate_argnums=0)(task.params), 0
    for x in task.params.values():  # free their memory for the restored state
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
    seed = config.seed + _VALIDATION_SEED
    data = batches(config, config.validate_data, seed=seed, held_out=True)
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


def _write_config(config: ConfigDict, workdir: epath.Path) -> None:
    """Writes `config.json`; a resumed run with other settings writes `config_2.json` and so on."""
    if not is_main_process():
        return
    workdir.mkdir(parents=True, exist_ok=True)
    text, number, path = config.to_json_best_effort(indent=2), 1, workdir / "config.json"
    while path.exists():
        if path.read_text() == text:
            return
        number += 1
        path = workdir / f"config_{number}.json"
    atomic_write(path, text)
    if number > 1:
        log_on_main(f"settings differ from those before: see {path}")


def _export(task: Task, ema: Params, data: Any, folder: epath.Path, *, dtype: str) -> None:
    """Writes the average of the parameters as a weight folder."""
    params, sizes = task.all_params(ema), task.source.config
    if task.finish is not None:
        local: Params = {name: fetch_to_host(x) for name, x in sorted(params.items())}  # pyright: ignore
        sizes = task.finish(sizes, local, data)
    export(folder, task.name, sizes, params, dtype=dtype)
    log_on_main(f"wrote {folder}")
