"""The `debug` preset in training: every kind of layer, with parameters of which none is zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax.numpy as jnp
from ml_collections import ConfigDict
from pipelines.tiny_system import random_params

from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.venhancer.spec import PRESETS
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.objective import Frozen
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import Task, export, task_of

FRAMES, SIDE = 3, 16
LEARNING_RATE = 1e-3


def write_prior(folder: Path) -> None:
    """A weight folder to start from: fresh networks pass almost no gradients on."""
    config = PRESETS["debug"]["venhancer"]
    params = random_params(catalog.build("venhancer", config))
    export(folder, "venhancer", config, {name: jnp.asarray(x) for name, x in params.items()})


def debug_config(changes: Mapping[str, Any]) -> ConfigDict:
    config = training_config()
    config.preset, config.dtype, config.start = "debug", "float32", "published"
    config.batch, config.frames, config.height, config.width = 8, FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 1, 0, 1, 1
    config.learning_rate = LEARNING_RATE
    config.update_from_flattened_dict(changes)
    return config


def train_debug(workdir: Any, **changes: Any) -> tuple[TrainState, Frozen]:
    """`run.train`, and what it kept frozen; keys of changes have `__` for a dot."""
    config = debug_config({key.replace("__", "."): value for key, value in changes.items()})
    tasks = []

    def remembered(*args: Any) -> Task:
        tasks.append(task_of(*args))
        return tasks[-1]

    with mock.patch.object(run, "task_of", remembered):
        state = run.train(config, workdir)
    return state, tasks[0].frozen
