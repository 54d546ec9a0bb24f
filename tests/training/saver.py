"""A program that saves without end, to be killed."""

from multiprocessing.connection import Connection
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.training.checkpoints import Checkpoints
from venhancer_jax.training.state import TrainState

KEEP = 3


def state_at(step: int) -> TrainState:
    """A state of many numbers, each of which tells the step."""
    numbers = np.arange(2**16, dtype=np.float32)
    params = {"kernel": jnp.asarray(step + numbers)}
    ema, count = {"kernel": jnp.asarray(step - numbers)}, jnp.asarray(step)
    return TrainState(count, count, count, params, ema, {})


def save_forever(folder: Path, told: Connection) -> None:
    """Tells `("found", step, equal)` at the start and `("saved", step)` after each save."""
    checkpoints = Checkpoints(folder, save_every=1, keep=KEEP)
    found = checkpoints.restore(state_at(0))
    step = 0
    if found is not None:
        state, step, data = found
        wanted = state_at(step)
        equal = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), b), state, wanted)
        told.send(("found", step, jax.tree.all(equal) and data == {"at": step}))
    while True:
        step += 1
        checkpoints.save(state_at(step), step, {"at": step})
        checkpoints.wait()
        told.send(("saved", step))
