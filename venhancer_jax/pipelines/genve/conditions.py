"""The reference of each frame, and what the network sees of it: noise, then warp, then attention.

GenVE paper, section 3.3: noise of one level is added to reference and video; the noisy reference is
warped from the key frame to each frame. Masks are for training alone.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.noise import CounterNoise, NoiseSource
from venhancer_jax.diffusion.reference import warp_to_frames
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.pipelines.pieces import Box, take
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.venhancer.conditions import Conditions
from venhancer_jax.sharding.mesh import VIDEO_AXES, constrain
from venhancer_jax.sharding.params import all_gathered

STREAM = "reference"


@dataclasses.dataclass(frozen=True)
class ReferencedConditions(Conditions):
    """Start and conditions of a whole clip with a reference.

    Attributes:
      reference: noisy latents `[1, F, h, w, C]` of the key frames, warped to each frame.
      denoiser: network that attends to the reference.
      textures: what was computed of the reference, by the starts of windows.
    """

    reference: jax.Array
    denoiser: LoadedNetwork
    textures: dict[tuple[tuple[int, int, int], ...], jax.Array] = dataclasses.field(
        default_factory=dict
    )

    def for_windows(self, boxes: Sequence[Box]) -> dict[str, jax.Array]:
        """Returns the conditions of n windows: those of VEnhancer, and texture."""
        conditions = super().for_windows(boxes)
        windows = tuple(box.start for box in boxes)
        # The attention sees neither time step nor noisy latents: once for all steps.
        if windows not in self.textures:
            reference = jnp.concatenate([take(self.reference, box) for box in boxes])
            self.textures[windows] = compute_texture(
                self.denoiser.network, self.denoiser.params, conditions["hint"], reference
            )
        return conditions | {"texture": self.textures[windows]}


@partial(jax.jit, static_argnames="network")
def compute_texture(
    network: FunctionalModule, params: Params, hint: jax.Array, reference: jax.Array
) -> jax.Array:
    """Computes the texture of the reference for some windows.

    Args:
      network: denoiser with the method `texture`.
      params: parameters of the denoiser, flat dictionary.
      hint: noise-augmented latents `[n, F, h, w, C]` of n windows of the video.
      reference: noisy latents `[n, F, h, w, C]` of the reference, warped to each frame.

    Returns:
      Features `[n, F, h / patch, w / patch, width]` of patches.
    """
    return network.bind(all_gathered(params)).texture(
        constrain(hint, VIDEO_AXES), constrain(reference, VIDEO_AXES)
    )


def add_reference_noise(
    reference: jax.Array,
    frames: Sequence[int],
    level: tuple[float, float],
    noise: NoiseSource,
) -> jax.Array:
    """Adds noise to the latents of key frames, from a stream of their own.

    Args:
      reference: clean latents `[K, h, w, C]`.
      frames: index of each key frame in the clip.
      level: signal level alpha and noise level sigma.
      noise: source of the noise.

    Returns:
      Noisy latents `[K, h, w, C]`.
    """
    alpha, sigma = level
    shape = (1, 1, *reference.shape[1:])
    fresh = [at_frame(noise, frame)(STREAM, 0, shape)[0] for frame in frames]
    return alpha * reference + sigma * jnp.concatenate(fresh)


def at_frame(noise: NoiseSource, frame: int) -> NoiseSource:
    """Returns the source of the noise from a frame of the clip on; recordings stay as they are."""
    if isinstance(noise, CounterNoise):
        return dataclasses.replace(noise, first_frame=frame)
    return noise


@jax.jit
def carry_to_frames(noisy: jax.Array, nearest: np.ndarray, flow: jax.Array) -> jax.Array:
    """Warps the noisy latents of key frames to all frames.

    Args:
      noisy: noisy latents `[K, h, w, C]` of the key frames.
      nearest: key frame `[F]` of each frame.
      flow: displacements `[F, h, w, 2]` from each frame to its key frame, in latents.

    Returns:
      `[1, F, h, w, C]`.
    """
    return warp_to_frames(noisy[nearest], flow[:, None])[None, :, 0]
