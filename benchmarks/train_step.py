"""Time, memory and operations of one training step as JSON.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --config=configs/train_venhancer.py --batch=1 --remat=blocks

Runs the step of the config with fresh weights on all devices: loss, gradient, optimizer, average,
for a batch of random numbers. Operations are those of the model, without recomputation.
`benchmarks.data_wait` measures the loading of data.
"""

import functools
import time

import jax
import numpy as np
from absl import app, flags

from benchmarks.measure import device_facts, peak_gib, report, timing
from venhancer_jax.command_line import parse_config
from venhancer_jax.models.functional import count_parameters
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.training.data import batch_shapes
from venhancer_jax.training.state import TrainState, optimizer_of
from venhancer_jax.training.step import (
    compile_step,
    make_global_batch,
    model_flops,
    state_shapes,
)
from venhancer_jax.training.tasks import task_of

CONFIG = flags.DEFINE_string("config", "configs/train_debug.py", "config file")
PRESET = flags.DEFINE_string("preset", None, "networks, in place of the config's")
BATCH = flags.DEFINE_integer("batch", None, "examples, in place of the config's")
FRAMES = flags.DEFINE_integer("frames", None, "frames, in place of the config's")
HEIGHT = flags.DEFINE_integer("height", None, "rows of pixels, in place of the config's")
WIDTH = flags.DEFINE_integer("width", None, "columns of pixels, in place of the config's")
DTYPE = flags.DEFINE_string("dtype", None, "type of activations, in place of the config's")
REMAT = flags.DEFINE_string("remat", None, "rematerialization, in place of the config's")
REPEATS = flags.DEFINE_integer("repeats", 3, "timed steps after the first one")
_INSTEAD = (PRESET, BATCH, FRAMES, HEIGHT, WIDTH, DTYPE, REMAT)


def random_batch(shapes: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """Creates a batch: noise for videos, every second frame a key frame, other conditions 1."""
    generator = np.random.default_rng(0)
    batch = {name: np.ones(x.shape, x.dtype) for name, x in shapes.items()}
    for name in ("video", "low"):
        batch[name] = generator.integers(0, 256, shapes[name].shape).astype(shapes[name].dtype)
    index = np.arange(shapes["key_index"].shape[1], dtype=np.int32)
    batch["key_index"][:] = np.where(index % 2, -1, index // 2)
    return batch


def main(argv: list[str]) -> None:
    del argv
    config, _ = parse_config(None, [f"--config={CONFIG.value}"], CONFIG.value)
    assert config is not None
    with config.unlocked():
        config.update({flag.name: flag.value for flag in _INSTEAD if flag.value is not None})
        config.data = config.prior = config.vae = config.text = ""
        config.data = "synthetic"
    mesh = device_mesh(config.mesh)
    task = task_of(config, mesh)
    optimizer = optimizer_of(config, task.groups)
    parameters = count_parameters(task.params)
    like = state_shapes(task.params, optimizer, mesh)
    begin = functools.partial(TrainState.start, optimizer=optimizer)
    shardings = jax.tree.map(lambda x: x.sharding, like)
    state = jax.jit(begin, out_shardings=shardings, donate_argnums=0)(task.params)
    jitted = compile_step(config, task.objective, optimizer, mesh, like, task.groups)
    shapes = batch_shapes(config)
    flops = model_flops(task.objective, like.params, task.frozen, shapes)
    batch = make_global_batch(random_batch(shapes), batch_sharding(mesh))
    with jax.set_mesh(mesh):
        start = time.perf_counter()
        step = jitted.lower(state, task.frozen, batch).compile()
        compile_seconds = time.perf_counter() - start

        def one() -> jax.Array:
            nonlocal state
            state, metrics = step(state, task.frozen, batch)
            return metrics["loss"]

        times = timing(one, repeats=REPEATS.value, flops=flops)
    chosen = {name: config[name] for name in ("preset", "objective", "trainable", "remat", "dtype")}
    report(
        device_facts()
        | {"config": CONFIG.value}
        | chosen
        | {"mesh": dict(mesh.shape), "shape": shapes["video"].shape, "parameters": parameters}
        | {"compile_seconds": compile_seconds}
        | times
        | {"clips_per_second": config.batch / times["median_seconds"], "peak_gib": peak_gib()}
    )


if __name__ == "__main__":
    app.run(main)
