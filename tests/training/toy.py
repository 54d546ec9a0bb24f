"""A task that compiles in a second and has all that a run can get wrong."""

import dataclasses
from collections.abc import Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from flax import nnx
from ml_collections import ConfigDict

from venhancer_jax.models.functional import functionalize
from venhancer_jax.sharding.params import fsdp_sharding
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.networks import Source, params_of
from venhancer_jax.training.objective import stream
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import Task

FRAMES, SIDE = 2, 16
NUMBERS = SIDE * SIDE * 3


@dataclasses.dataclass(frozen=True)
class ToyConfig:
    width: int = 128  # large enough that its kernels are split


class Toy(nnx.Module):
    """Denoises frames, with a layer that starts at zero."""

    def __init__(self, config: ToyConfig, rngs: nnx.Rngs):
        zeros = nnx.initializers.zeros_init()
        self.first = nnx.Linear(NUMBERS, config.width, rngs=rngs)
        self.middle = nnx.Linear(config.width, config.width, kernel_init=zeros, rngs=rngs)
        self.last = nnx.Linear(config.width, NUMBERS, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.silu(self.first(x))
        return self.last(x + self.middle(x))


SOURCE = Source(ToyConfig(), functionalize(lambda rngs: Toy(ToyConfig(), rngs)), "")


class Denoise:
    """The noise of an example depends on its place in the batch."""

    def loss(self, params, frozen, batch, key):
        clean = batch["video"].astype(jnp.float32).reshape(-1, FRAMES, NUMBERS) / 255
        noise = jax.random.normal(stream(key, "noise"), clean.shape)
        made = SOURCE.network(params | frozen["denoiser"], clean + noise)
        by_frame = jnp.square(made - clean).mean(axis=(0, 2))
        return by_frame.mean(), {"loss_by_time": by_frame}


def toy_task(config: ConfigDict, mesh: jax.sharding.Mesh) -> Task:
    """The first layer is frozen."""
    shardings = fsdp_sharding(mesh, SOURCE.network.shapes)
    params = params_of(SOURCE, jax.random.key(config.seed), shardings)
    frozen = {name: x for name, x in params.items() if name.startswith("first.")}
    trains = {name: x for name, x in params.items() if name not in frozen}
    return Task("toy", {"toy": SOURCE}, Denoise(), trains, {"denoiser": frozen})


def toy_config(changes: Mapping[str, Any]) -> ConfigDict:
    config = training_config()
    config.batch, config.frames, config.height, config.width = 8, FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 4, 0, 1, 2
    config.learning_rate, config.ema_decay = 1e-3, 0.5
    config.update_from_flattened_dict(changes)
    return config


def train_toy(workdir: Any, **changes: Any) -> TrainState:
    """`run.train` of the toy task; keys of changes have `__` for a dot."""
    config = toy_config({key.replace("__", "."): value for key, value in changes.items()})
    # It has no pictures to show.
    with (
        mock.patch.object(run, "task_of", toy_task),
        mock.patch.object(run.Validation, "sample", return_value=None),
    ):
        return run.train(config, workdir)
