"""Measures the averaged parameters on clips that do not train: a loss, pictures and videos."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from venhancer_jax.metrics.report import strip_png
from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.mesh import replicated
from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.sharding.processes import is_main_process
from venhancer_jax.training.data import DataIterator
from venhancer_jax.training.metrics import MetricsWriter
from venhancer_jax.training.objective import Batch, Frozen, Metrics
from venhancer_jax.training.step import ShardedObjective, make_global_batch
from venhancer_jax.training.tasks import Sample, Task
from venhancer_jax.video.writing.write import VideoWriter

_PICTURED_FRAMES = 4
_MOST_SAMPLES = 4
# Videos are for looking at, whatever the rate of their clips.
_RATE = Fraction(8)


class Validation:
    """Measures parameters on the same clips with the same noise, every time."""

    def __init__(
        self,
        task: Task,
        data: DataIterator,
        *,
        mesh: Mesh,
        clips: int,
        batch: int,
        seed: int,
        steps: int,
        interpolation: str = "previous",
        folder: epath.Path,
    ):
        """Takes the clips from the data.

        Args:
          task: task of the run.
          data: batches of this process.
          mesh: devices of the run.
          clips: least number of clips of all processes together.
          batch: number of clips in a batch of all processes together.
          seed: seed of the noise.
          steps: number of steps of the sampler, for the pictures.
          interpolation: start of frames between key frames, in the pictures.
          folder: folder of pictures and videos.
        """
        self._task, self._mesh, self._seed = task, mesh, seed
        self._batches = [next(data) for _ in range(max(1, math.ceil(clips / batch)))]
        self._samples = min(clips, _MOST_SAMPLES)
        self._steps, self._interpolation, self._folder = steps, interpolation, folder
        objective = ShardedObjective(task.objective)

        def measure(params: Params, frozen: Frozen, batch: Batch, key: jax.Array) -> Metrics:
            loss, metrics = objective.loss(params, frozen, batch, key)
            return metrics | {"loss": loss}

        self._measure = jax.jit(measure, out_shardings=replicated(mesh))

    def measure(self, params: Params) -> dict[str, np.ndarray]:
        """Computes the mean of each metric of the objective, as `validation_loss` and so on.

        Args:
          params: parameters that train.
        """
        sums: list[Metrics] = []
        with jax.set_mesh(self._mesh):
            for i, batch in enumerate(self._batches):
                key = jax.random.fold_in(jax.random.key(self._seed), i)
                sharded = make_global_batch(batch, batch_sharding(self._mesh))
                sums.append(self._measure(params, self._task.frozen, sharded, key))
        values = jax.device_get(sums)
        return {
            f"validation_{name}": np.mean([v[name] for v in values], axis=0) for name in values[0]
        }

    def sample(self, params: Params, step: int, writer: MetricsWriter | None) -> None:
        """Writes samples of the first clips to `FOLDER/STEP`.

        All devices of the run compute together, with the parameters sharded as they are; the main
        process writes.

        Args:
          params: parameters that train.
          step: number of steps taken, the name of the folder.
          writer: destination of the pictures besides the folder.
        """
        if self._task.sampler is None:
            return
        sampler = self._task.sampler(
            self._task.params_by_network(params),
            mesh=self._mesh,
            steps=self._steps,
            interpolation=self._interpolation,
        )
        folder = self._folder / str(step)
        for number, example in enumerate(self._examples()):
            sample = sampler(example)
            if not is_main_process():
                continue
            picture = picture_of(sample)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:02d}.png").write_bytes(strip_png([picture]))
            _write_video(folder / f"{number:02d}.mp4", sample)
            if writer is not None:
                writer.picture(f"samples/{number:02d}", picture, step)

    def _examples(self) -> Iterator[Mapping[str, Any]]:
        """Yields the first examples of the main process, on all processes."""
        number = 0
        for batch in self._batches:
            for i in range(len(batch["video"])):
                if number == self._samples:
                    return
                number += 1
                example = {name: np.asarray(x[i]) for name, x in batch.items()}
                if jax.process_count() > 1:
                    example = multihost_utils.broadcast_one_to_all(example)
                    example = {name: np.asarray(x) for name, x in example.items()}
                yield example


def picture_of(sample: Sample) -> np.ndarray:
    """Draws some frames below each other, each as input | output | target, uint8 `[H, W, 3]`."""
    frames = len(sample.output)
    chosen = np.unique(np.linspace(0, frames - 1, min(frames, _PICTURED_FRAMES)).astype(int))
    return np.concatenate(_side_by_side(sample)[chosen])


def _side_by_side(sample: Sample) -> np.ndarray:
    """Returns input, output and target in one, `[F, H, 3W, 3]`."""
    return np.concatenate([sample.input, sample.output, sample.target], axis=2)


def _write_video(path: epath.Path, sample: Sample) -> None:
    """Writes input, output and target side by side; in a local folder first, for remote paths."""
    frames = _side_by_side(sample)
    height, width = frames.shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.name
        with VideoWriter(local, width=width, height=height, rate=_RATE) as writer:
            for frame in frames:
                writer.write(frame)
        path.write_bytes(local.read_bytes())
