"""How the averaged parameters do on clips that do not train: a loss, pictures and videos."""

import itertools
import math
import tempfile
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh

from venhancer_jax.metrics.report import strip_png
from venhancer_jax.models.functional import Params
from venhancer_jax.sharding.mesh import replicated
from venhancer_jax.sharding.params import batch_sharding
from venhancer_jax.sharding.processes import fetch_to_host, is_main_process
from venhancer_jax.training.batches import ShardedObjective, make_global_batch
from venhancer_jax.training.data import DataIterator
from venhancer_jax.training.objective import Batch, Frozen, Metrics
from venhancer_jax.training.samples import Sample, sampler
from venhancer_jax.training.tasks import Task
from venhancer_jax.training.tensorboard import TensorBoard
from venhancer_jax.video.motion import FrameInterpolation
from venhancer_jax.video.write import VideoWriter

_PICTURED_FRAMES = 4
_MOST_SAMPLES = 4
# Videos are there to be looked at, whatever the rate of their clips.
_RATE = Fraction(8)


class Validation:
    """Measures parameters on the same clips with the same noise, whenever it is asked."""

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
        interpolation: FrameInterpolation = "previous",
        folder: epath.Path,
    ):
        """Takes its clips from the data once and for all.

        Args:
          task: of the run.
          data: batches of this process.
          mesh: of the run.
          clips: least number of clips of all processes together.
          batch: of all processes together.
          seed: of the noise.
          steps: of the sampler, for the pictures.
          interpolation: what its frames between key frames start from.
          folder: of the pictures and videos.
        """
        self._task, self._mesh, self._seed = task, mesh, seed
        self._batches = [next(data) for _ in range(max(1, math.ceil(clips / batch)))]
        self._samples = min(clips, _MOST_SAMPLES)
        self._steps, self._folder = steps, folder
        self._between: FrameInterpolation = interpolation
        objective = ShardedObjective(task.objective)

        def measure(params: Params, frozen: Frozen, batch: Batch, key: jax.Array) -> Metrics:
            loss, metrics = objective.loss(params, frozen, batch, key)
            return metrics | {"loss": loss}

        self._measure = jax.jit(measure, out_shardings=replicated(mesh))

    def measure(self, params: Params) -> dict[str, np.ndarray]:
        """The mean of each metric of the objective, as `validation_loss` and so on."""
        sums: list[Metrics] = []
        with jax.set_mesh(self._mesh):
            for i, batch in enumerate(self._batches):
                key = jax.random.fold_in(jax.random.key(self._seed), i)
                on_mesh = make_global_batch(batch, batch_sharding(self._mesh))
                sums.append(self._measure(params, self._task.frozen, on_mesh, key))
        values = jax.device_get(sums)
        return {
            f"validation_{name}": np.mean([v[name] for v in values], axis=0) for name in values[0]
        }

    def sample(self, params: Params, step: int, board: TensorBoard | None) -> None:
        """Writes what the parameters make of the first clips to `FOLDER/STEP`.

        All parameters of the system come together on one device of the first process.

        Args:
          params: those that train.
          step: names the folder.
          board: for the pictures too.
        """
        whole = self._whole(params)
        if whole is None:
            return
        make = sampler(self._task, whole, steps=self._steps, interpolation=self._between)
        for number, example in enumerate(itertools.islice(self._examples(), self._samples)):
            sample = make(example)
            picture = picture_of(sample)
            folder = self._folder / str(step)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:02d}.png").write_bytes(strip_png([picture]))
            _write_video(folder / f"{number:02d}.mp4", sample)
            if board is not None:
                board.picture(f"samples/{number:02d}", picture, step)

    def _whole(self, params: Params) -> dict[str, Params] | None:
        """The parameters of each network on one device; None but on the first process."""
        task, device = self._task, jax.local_devices()[0]
        sources: dict[str, Mapping[str, jax.Array]] = {
            name: task.whole(params) if name == task.name else task.frozen[name]
            for name in task.sources
        }
        placed: dict[str, Params] = {}
        for name, source in sources.items():
            placed[name] = {}
            for key in sorted(source):
                value = fetch_to_host(source[key])
                if is_main_process():
                    placed[name][key] = jax.device_put(value, device)
        return placed if is_main_process() else None

    def _examples(self) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._batches:
            for i in range(len(batch["video"])):
                yield {name: x[i] for name, x in batch.items()}


def picture_of(sample: Sample) -> np.ndarray:
    """Some frames below each other, each as given | made | target, uint8 `[H, W, 3]`."""
    frames = len(sample.made)
    chosen = np.unique(np.linspace(0, frames - 1, min(frames, _PICTURED_FRAMES)).astype(int))
    return np.concatenate(_beside(sample)[chosen])


def _beside(sample: Sample) -> np.ndarray:
    """`[F, H, 3W, 3]`."""
    return np.concatenate([sample.given, sample.made, sample.target], axis=2)


def _write_video(path: epath.Path, sample: Sample) -> None:
    """Given, made and target beside each other; made in a local folder, as paths may be remote."""
    frames = _beside(sample)
    height, width = frames.shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.name
        with VideoWriter(local, width=width, height=height, rate=_RATE) as writer:
            for frame in frames:
                writer.write(frame)
        path.write_bytes(local.read_bytes())
