"""What a network in training makes of clips: pictures and videos to look at."""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from venhancer_jax.data.resample import resample, to_uint8
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import MAX_STRIDE
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.sharding.mesh import AXES
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.training.conditioning import to_signed
from venhancer_jax.training.networks import Source
from venhancer_jax.training.one_step import OneStep
from venhancer_jax.training.tasks import Task
from venhancer_jax.video.motion import FrameInterpolation

_GUIDANCE = 7.5


@dataclasses.dataclass(frozen=True)
class Sample:
    """A clip three times, uint8 `[F, H, W, 3]` each.

    Attributes:
      given: what the network was given, at the size of the target.
      made: by the network.
      target: what it should be.
    """

    given: np.ndarray
    made: np.ndarray
    target: np.ndarray


def sampler(
    task: Task,
    params: Mapping[str, Params],
    *,
    steps: int,
    interpolation: FrameInterpolation = "previous",
) -> "Enhancing | Coding":
    """What makes samples with these parameters.

    Args:
      task: of the run.
      params: of each network of `task.sources`, whole.
      steps: of the sampler, where the task has no number of its own.
      interpolation: what frames between key frames start from, as in training.
    """
    if task.name == "vae":
        return Coding(task.source, params["vae"])
    parts = {
        name: LoadedNetwork(s.config, s.network, params[name]) for name, s in task.sources.items()
    }
    one = np.array(jax.local_devices()[:1]).reshape((1,) * len(AXES))
    mesh = Mesh(one, AXES, axis_types=(AxisType.Auto,) * len(AXES))
    system = VEnhancer(parts["venhancer"], parts["vae"], _features(parts["text"]), mesh=mesh)
    options = VEnhancerOptions(
        solver="ddim",
        solver_mode="normal",
        steps=steps,
        guidance_scale=_GUIDANCE,
        interpolation=interpolation,
    )
    if isinstance(task.objective, OneStep):
        # As it is trained: from the low-quality latents themselves.
        levels = task.objective.start + 1
        options = dataclasses.replace(
            options, steps=1, noise_levels=levels, start_noise=0.0, guidance_scale=1.0
        )
    return Enhancing(system, options)


def _features(text: LoadedNetwork) -> TextFeatures:
    return TextFeatures(text.config, lambda: text)


@dataclasses.dataclass(frozen=True)
class Enhancing:
    """Enhances the key frames of training examples, as users would."""

    system: VEnhancer
    options: VEnhancerOptions

    def __call__(self, example: Mapping[str, np.ndarray]) -> Sample:
        """Of one example without its batch axis.

        Frames behind the last key frame at a whole stride are left out, and all but the key frames
        where the stride is more than the system takes.
        """
        keys = np.flatnonzero(example["key_index"] >= 0)
        stride = int(keys[1] - keys[0]) if len(keys) > 1 else 1
        keys = keys[keys % stride == 0]
        interpolation = stride if stride <= MAX_STRIDE else 1
        shown = np.arange(keys[0], keys[-1] + 1, stride // interpolation)
        target, given = example["video"][shown], example["low"][shown]
        options = dataclasses.replace(
            self.options,
            target_size=target.shape[1:3],
            target_fps=Fraction(interpolation),
            noise_aug=int(example["noise_aug"]),
        )
        made = self.system.enhance(
            self._shrunk(example["low"][keys], float(example["scale"])),
            rate=Fraction(1),
            options=options,
            text=self._text(example["tokens"]),
        )
        return Sample(given, np.stack([*made][: len(shown)]), target)

    def _shrunk(self, frames: np.ndarray, scale: float) -> np.ndarray:
        """The small frames that were enlarged to these, so that the scale is what it was."""
        size = tuple(max(1, round(side / scale)) for side in frames.shape[1:3])
        small = resample(frames.astype(np.float32), (size[0], size[1]), antialias=False)
        return to_uint8(small)

    def _text(self, tokens: np.ndarray) -> jax.Array:
        tokens = tokens[None]
        if self.options.guidance_scale != 1:
            tokens = np.concatenate([tokens, tokenize([NEGATIVE])])
        text = self.system.text.load()
        return programs.embed_text(text.network, text.params, tokens)


@dataclasses.dataclass(frozen=True)
class Coding:
    """Encodes and decodes the targets of training examples."""

    vae: Source
    params: Params

    def __call__(self, example: Mapping[str, np.ndarray]) -> Sample:
        """Of one example without its batch axis."""
        target = example["video"]
        latents = programs.encode(
            self.vae.network, self.params, to_signed(jnp.asarray(target[None]))
        ).mean
        frames = programs.decode(
            self.vae.network, self.params, self.vae.config.scaling_factor * latents
        )
        return Sample(target, np.asarray(programs.to_bytes(frames[0], truncate=False)), target)
