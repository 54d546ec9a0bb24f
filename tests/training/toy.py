"""A system of its own that compiles in a second and has all that a run can get wrong."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from venhancer_jax.models.functional import functionalize
from venhancer_jax.pipelines.options import EnhanceOptions, WeightOptions
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.pipelines.system import NetworkKind, SystemSpec
from venhancer_jax.training import run
from venhancer_jax.training.config import training_config
from venhancer_jax.training.objective import stream
from venhancer_jax.training.state import TrainState
from venhancer_jax.training.tasks import ObjectiveSpec, ParamLoader, Source, Task

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
        denoised = SOURCE.network(params | frozen["denoiser"], clean + noise)
        by_frame = jnp.square(denoised - clean).mean(axis=(0, 2))
        return by_frame.mean(), {"loss_by_time": by_frame}


class Breaks:
    """A loss that is not finite in the steps of which the config's preset is a list."""

    def __init__(self, steps: str):
        self._steps = np.array([int(step) for step in steps.split(",")])

    def loss(self, params, frozen, batch, key):
        loss, metrics = Denoise().loss(params, frozen, batch, key)
        # The step is not an argument of a loss; its key determines it.
        keys = jax.vmap(lambda step: jax.random.fold_in(jax.random.key(0), step))(self._steps)
        broken = (jax.random.key_data(keys) == jax.random.key_data(key)).all(axis=-1)
        return loss * jnp.where(broken.any(), jnp.nan, 1), metrics


def _task(config: ConfigDict, loader: ParamLoader) -> Task:
    """The first layer is frozen."""
    params = loader.params(SOURCE, 0, sharded=True)
    frozen = {name: x for name, x in params.items() if name.startswith("first.")}
    trains = {name: x for name, x in params.items() if name not in frozen}
    objective = Breaks(config.preset) if config.objective == "breaks" else Denoise()
    return Task(
        name="toy",
        sources={"toy": SOURCE},
        objective=objective,
        params=trains,
        frozen={"denoiser": frozen},
    )


def _missing(*args: Any, **options: Any) -> Any:
    raise NotImplementedError("the toy does not enhance")


SPEC = SystemSpec(
    name="toy",
    options=EnhanceOptions,
    weights=WeightOptions,
    networks={"toy": NetworkKind(config=ToyConfig, module=Toy)},
    presets={},
    output=_missing,
    checkpoints=_missing,
    load=_missing,
    load_abstract=_missing,
    training="training.toy",
)
OBJECTIVES = {("toy", name): ObjectiveSpec(_task) for name in ("denoise", "breaks")}
SYSTEMS["toy"] = "training.toy"


def toy_config(changes: Mapping[str, Any]) -> ConfigDict:
    config = training_config()
    config.system, config.objective = "toy", "denoise"
    config.batch, config.frames, config.height, config.width = 8, FRAMES, SIDE, SIDE
    config.steps, config.warmup_steps, config.log_every, config.save_every = 4, 0, 1, 2
    config.learning_rate, config.ema_decay = 1e-3, 0.5
    config.update_from_flattened_dict(changes)
    return config


def toy_task(config: ConfigDict, mesh: jax.sharding.Mesh) -> Task:
    return _task(config, ParamLoader(config, mesh, abstract=False))


def train_toy(workdir: Any, **changes: Any) -> TrainState:
    """`run.train` of the toy system; keys of changes have `__` for a dot."""
    return run.train(
        toy_config({key.replace("__", "."): value for key, value in changes.items()}), workdir
    )
