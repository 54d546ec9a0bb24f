"""Examples of the ablation as latents, computed once and stored."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.genve_ablation import clips
from venhancer_jax.data.augment import flows_to
from venhancer_jax.files import atomic_file
from venhancer_jax.training.objective import Batch
from venhancer_jax.training.tasks import Task

# Frames of a clip, their rows and columns, and how much smaller the low-quality clip is.
FRAMES, SIZE, SCALE = 3, (32, 64), 8
KINDS = ("synthetic", "real")
# Factor of the latents, by which their standard deviation on either kind is about 1.
GAIN = {"synthetic": 2.0, "real": 1.0}
# Clips that are encoded together.
_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Examples:
    """Latents of clips.

    Attributes:
      video: latents of the target, `[N, F, h, w, C]`.
      low: latents of the low-quality clip, `[N, F, h, w, C]`.
      flow: displacements `[N, F, h, w, 2]` from each frame to the middle one, in latents.
      frames: target `[N, F, H, W, 3]` uint8.
      gain: factor of the latents `[N]`.
    """

    video: np.ndarray
    low: np.ndarray
    flow: np.ndarray
    frames: np.ndarray
    gain: np.ndarray

    def batch(self, index: jax.Array | slice, noise_aug: jax.Array) -> Batch:
        """Selects examples as a batch of the objective.

        Args:
          index: examples of the batch.
          noise_aug: level of the noise on the low-quality clip, `[B]`.
        """
        video = jnp.asarray(self.video)[index]
        count, frames = video.shape[:2]
        return {
            "video": video,
            "low": jnp.asarray(self.low)[index],
            "flow": jnp.asarray(self.flow)[index],
            "key_frame": jnp.full(count, frames // 2),
            "key_index": jnp.tile(jnp.arange(frames), (count, 1)),
            "scale": jnp.full(count, float(SCALE)),
            "noise_aug": noise_aug,
            "tokens": jnp.zeros((count, 77), int),
        }


def joined(parts: list[Examples]) -> Examples:
    """Concatenates examples."""
    fields = [field.name for field in dataclasses.fields(Examples)]
    return Examples(**{f: np.concatenate([getattr(p, f) for p in parts]) for f in fields})


def load(
    path: Path, task: Task, kind: str, count: int, *, held_out: bool, folder: Path | None
) -> Examples:
    """Loads examples, or creates and stores them.

    Args:
      path: file of the examples.
      task: task with the VAE.
      kind: one of `KINDS`.
      count: number of clips.
      held_out: whether the clips are others than those of training.
      folder: folder of the real clips.
    """
    if path.exists():
        with np.load(path) as arrays:
            return Examples(**arrays)
    if kind == "synthetic":
        first = 10**6 if held_out else 0
        target = np.stack([clips.synthetic(first + i, FRAMES, SIZE) for i in range(count)])
    else:
        assert folder is not None
        part = folder / ("heldout" if held_out else "train")
        target = clips.real(part, count, FRAMES, SIZE, seed=int(held_out))
    low = np.stack([clips.degraded(clip, SCALE) for clip in target])
    latents = {name: GAIN[kind] * x for name, x in _encoded(task, target, low)}
    flow = np.stack([flows_to(FRAMES // 2, clip, latents["low"].shape[2:4]) for clip in low])
    gain = np.full(count, GAIN[kind])
    examples = Examples(latents["video"], latents["low"], flow, target, gain)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **vars(examples))
    return examples


def _encoded(task: Task, target: np.ndarray, low: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the latents of target and low-quality clips by name."""
    assert task.encode is not None
    conditioning = task.objective.conditioning  # pyright: ignore[reportAttributeAccessIssue]
    encode = jax.jit(conditioning.encode)
    params: Mapping[str, jax.Array] = task.frozen["vae"]
    for number, (name, frames) in enumerate({"video": target, "low": low}.items()):
        parts = [
            np.asarray(encode(params, frames[i : i + _AT_ONCE], jax.random.key(i + number)))
            for i in range(0, len(frames), _AT_ONCE)
        ]
        yield name, np.concatenate(parts)
