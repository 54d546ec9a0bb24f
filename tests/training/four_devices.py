"""What training does on four devices, in a process of its own.

`quick_checks` writes FOLDER/toy.npz and pictures.npz one after the other, which
`test_training_devices.py` compares with one device; `network_steps` writes FOLDER/tiny.npz, and
`denoised_pictures` the pictures of UNet and ControlNet.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from venhancer_jax.training.tasks import Task

STEPS = 3
TOY_MESHES = {"4x1": (4, 1), "1x4": (1, 4)}
TRAINED = (2, 2)


def quick_checks(weights: Path, folder: Path) -> None:
    """Writes the results of the toy, and of pictures of a VAE."""
    # The networks are tiny; each sharded parameter costs time to compile.
    _prepare(least_sharded=2**12)
    write(folder / "toy.npz", check_toy(folder))
    _prepare(least_sharded=2**9)
    write(folder / "pictures.npz", check_pictures(weights, folder, "autoencoder"))


def network_steps(weights: Path, folder: Path) -> None:
    """Writes the results of steps of UNet and ControlNet."""
    _prepare(least_sharded=2**12)
    write(folder / "tiny.npz", check_network(weights, folder))


def denoised_pictures(weights: Path, folder: Path) -> None:
    """Writes the results of sampling UNet and ControlNet."""
    _prepare(least_sharded=2**9)
    write(folder / "pictures.npz", check_pictures(weights, folder, "one_step"))


def _prepare(*, least_sharded: int) -> None:
    from venhancer_jax.sharding import params
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    params.LEAST_SHARDED = least_sharded


def write(path: Path, results: dict[str, Any]) -> None:
    """Writes the results of a check, which appear whole."""
    import numpy as np

    from venhancer_jax.files import atomic_file

    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **{name: np.asarray(x) for name, x in results.items()})


def check_toy(folder: Path) -> dict[str, Any]:
    """A whole run on a mesh of both axes, and the work of each device on each mesh."""
    import jax
    from training.toy import toy_config, toy_task, train_toy

    from venhancer_jax.sharding.mesh import device_mesh
    from venhancer_jax.training.data import batch_shapes
    from venhancer_jax.training.state import optimizer_of
    from venhancer_jax.training.step import compile_step, place_batch_shapes, state_shapes

    found: dict[str, Any] = {}
    data, fsdp = TRAINED
    state = train_toy(folder / "toy", mesh__data=data, mesh__fsdp=fsdp, steps=STEPS)
    lines = (folder / "toy" / "metrics.jsonl").read_text().splitlines()
    found["losses"] = [json.loads(line)["loss"] for line in lines]
    for name, x in state.ema.items():
        found[f"ema/{name}"] = x
    found["sharded"] = sum(not x.is_fully_replicated for x in state.ema.values())
    for name, (data, fsdp) in {"1x1": (1, 1), **TOY_MESHES}.items():
        # A batch beside which the optimizer is cheap.
        config = toy_config({"mesh.data": data, "mesh.fsdp": fsdp, "batch": 64})
        mesh = device_mesh(config.mesh, jax.devices()[: data * fsdp])
        task, optimizer = toy_task(config, mesh), optimizer_of(config)
        shapes = state_shapes(task.params, optimizer, mesh)
        batch = place_batch_shapes(batch_shapes(config), mesh)
        step = compile_step(config, task.objective, optimizer, mesh, shapes)
        with jax.set_mesh(mesh):
            compiled = step.lower(shapes, task.frozen, batch).compile()
        found[f"{name}/flops"] = compiled.cost_analysis()["flops"]
        video = compiled.input_shardings[0][2]["video"]
        found[f"{name}/examples"] = video.shard_shape(batch["video"].shape)[0]
    return found


def check_network(weights: Path, folder: Path) -> dict[str, Any]:
    """Steps of the tiny network with sharded parameters, and the same after a resumption."""
    import functools

    import jax
    import numpy as np
    from training.tiny import latent_batch, tiny_config

    from venhancer_jax.sharding.mesh import device_mesh
    from venhancer_jax.sharding.params import batch_sharding
    from venhancer_jax.training.checkpoints import Checkpoints
    from venhancer_jax.training.state import TrainState, optimizer_of
    from venhancer_jax.training.step import compile_step, make_global_batch, state_shapes
    from venhancer_jax.training.tasks import task_of

    changes = {"mesh.data": 2, "mesh.fsdp": 2}
    config = tiny_config(weights, changes)
    mesh = device_mesh(config.mesh)
    task, optimizer = _train_the_end(task_of(config, mesh)), optimizer_of(config)
    like = state_shapes(task.params, optimizer, mesh)
    begin = functools.partial(TrainState.start, optimizer=optimizer)
    state = jax.jit(begin, out_shardings=jax.tree.map(lambda x: x.sharding, like))(task.params)
    compiled = compile_step(config, task.objective, optimizer, mesh, like)
    sharded = sum(not x.is_fully_replicated for x in state.ema.values())

    def step(state: TrainState, number: int) -> tuple[TrainState, float]:
        data = make_global_batch(latent_batch(number), batch_sharding(mesh))
        with jax.set_mesh(mesh):
            state, metrics = compiled(state, task.frozen, data)
        return state, float(metrics["loss"])

    state, first = step(state, 0)
    checkpoints = Checkpoints(folder / "tiny", save_every=1)
    checkpoints.save(state, 1, {"iterator": {"next_index": 1}})
    checkpoints.wait()
    state, second = step(state, 1)
    restored = checkpoints.restore(like)
    assert restored is not None and restored[1:] == (1, {"iterator": {"next_index": 1}})
    resumed, again = step(restored[0], 1)
    checkpoints.close()
    same = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), b), state, resumed)
    return {
        "sharded": sharded,
        "losses": [first, second, again],
        "resumed": jax.tree.all(same),
    }


def _train_the_end(task: "Task") -> "Task":
    """Freezes all but the last layers of UNet and ControlNet: gradients cost time to compile."""
    end = ("unet.output_blocks.", "unet.head.", "controlnet.zero_convs.")
    trains = {name: x for name, x in task.params.items() if name.startswith(end)}
    frozen = {name: x for name, x in task.params.items() if name not in trains}
    denoiser = dict(task.frozen.get("denoiser", {})) | frozen
    return dataclasses.replace(task, params=trains, frozen={**task.frozen, "denoiser": denoiser})


def check_pictures(weights: Path, folder: Path, objective: str) -> dict[str, Any]:
    """Validation pictures of a network whose parameters stay sharded."""
    from etils import epath
    from training.tiny import batch, tiny_config

    from venhancer_jax.sharding.mesh import device_mesh
    from venhancer_jax.training.tasks import task_of
    from venhancer_jax.training.validation import Validation

    config = tiny_config(weights, {"objective": objective, "mesh.fsdp": 4})
    mesh = device_mesh(config.mesh)
    task = task_of(config, mesh)
    validation = Validation(
        task,
        iter([batch(0)]),  # pyright: ignore[reportArgumentType]
        mesh=mesh,
        clips=1,
        batch=4,
        seed=0,
        steps=1,
        folder=epath.Path(folder) / "samples",
    )
    validation.sample(task.params, 0, None)
    return {"sharded": sum(not x.is_fully_replicated for x in task.params.values())}
