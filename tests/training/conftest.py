from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from venhancer_jax.training.tasks import Task


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.tiny import write_weights

    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_task(tiny_weights: Path) -> "Task":
    """The tiny network with all its weights, on one device."""
    from training.tiny import tiny_config

    from venhancer_jax.training.tasks import task_of

    return task_of(tiny_config(tiny_weights))


@pytest.fixture(scope="session")
def tiny_loss(tiny_task: "Task") -> Callable[..., float]:
    """The loss of the first step as a function of the parameters that train, compiled once."""
    import jax
    from training.tiny import latent_batch, on_devices

    compiled = jax.jit(tiny_task.objective.loss)
    data = on_devices(latent_batch(0))
    key = jax.random.fold_in(jax.random.key(0), 0)
    return lambda params: float(compiled(params, tiny_task.frozen, data, key)[0])


@pytest.fixture(scope="module")
def least_upscaler() -> Iterator[None]:
    """The least networks of Upscale-A-Video in place of those of its debug preset."""
    from training.upscale_tiny import NETWORKS

    from venhancer_jax.pipelines.registry import find_system

    presets = find_system("upscale_a_video").presets
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets, "debug", NETWORKS)  # pyright: ignore[reportArgumentType]
        yield
