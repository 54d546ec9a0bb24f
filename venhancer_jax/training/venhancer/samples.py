"""Samples of validation: the system enhances training examples on the mesh of the run."""

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from venhancer_jax.data.resample import resample, to_uint8
from venhancer_jax.models.functional import Params
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.options import ControlledOptions, VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import MAX_STRIDE
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.training.objective import Objective
from venhancer_jax.training.tasks import Sample, Source
from venhancer_jax.training.venhancer.objectives import OneStep

GUIDANCE = 7.5


def make_sampler(
    sources: Mapping[str, Source],
    objective: Objective,
    params: Mapping[str, Params],
    *,
    mesh: Mesh,
    steps: int,
    interpolation: Any,
) -> "Enhancement":
    """Creates the sampler of an objective.

    Args:
      sources: networks of the task.
      objective: objective that trains.
      params: parameters of each network, sharded over the mesh; they are neither moved nor copied.
      mesh: devices of the run, all of which take part.
      steps: number of steps of the solver, unless the objective takes one.
      interpolation: start of frames between key frames, as in training.
    """
    networks = {
        name: LoadedNetwork(s.config, s.network, params[name]) for name, s in sources.items()
    }
    text = networks["text"]
    system = VEnhancer(
        networks["venhancer"],
        networks["vae"],
        TextFeatures(text.config, lambda: text),
        mesh=mesh,
    )
    options = VEnhancerOptions(
        solver="ddim",
        solver_mode="normal",
        steps=steps,
        guidance_scale=GUIDANCE,
        interpolation=interpolation,
    )
    if isinstance(objective, OneStep):
        # As it is trained: from the low-quality latents themselves.
        levels = objective.start + 1
        options = dataclasses.replace(
            options, steps=1, noise_levels=levels, start_noise=0.0, guidance_scale=1.0
        )
    return Enhancement(system, options)


@dataclasses.dataclass(frozen=True)
class Enhancement:
    """Enhances the key frames of training examples, as users would.

    Attributes:
      system: system with the parameters in training.
      options: options of the enhancement.
    """

    system: VEnhancer
    options: ControlledOptions

    def __call__(self, example: Mapping[str, np.ndarray]) -> Sample:
        """Enhances one example without its batch axis.

        Frames after the last key frame at a whole stride are dropped, and all but the key frames
        if the stride is larger than the system allows.
        """
        keys = np.flatnonzero(example["key_index"] >= 0)
        stride = int(keys[1] - keys[0]) if len(keys) > 1 else 1
        keys = keys[keys % stride == 0]
        interpolation = stride if stride <= MAX_STRIDE else 1
        shown = np.arange(keys[0], keys[-1] + 1, stride // interpolation)
        target, low = example["video"][shown], example["low"][shown]
        options = dataclasses.replace(
            self.options,
            target_size=target.shape[1:3],
            target_fps=Fraction(interpolation),
            noise_aug=int(example["noise_aug"]),
        )
        output = self.system.enhance(
            self._key_frames(example["low"][keys], float(example["scale"])),
            rate=Fraction(1),
            options=options,
            text=self._text(example["tokens"]),
        )
        return Sample(low, np.stack([*output][: len(shown)]), target)

    def _key_frames(self, frames: np.ndarray, scale: float) -> np.ndarray:
        """Shrinks enlarged key frames to their first size, so that the scale stays."""
        size = tuple(max(1, round(side / scale)) for side in frames.shape[1:3])
        small = resample(frames.astype(np.float32), (size[0], size[1]), antialias=False)
        return to_uint8(small)

    def _text(self, tokens: np.ndarray) -> jax.Array:
        tokens = tokens[None]
        if self.options.guidance_scale != 1:
            tokens = np.concatenate([tokens, tokenize([NEGATIVE])])
        text = self.system.text.load()
        with self.system.on_mesh():
            return programs.embed_text(text.network, text.params, tokens)
