"""What the denoiser starts from and is conditioned on: noised start, hints, key frames."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule
from venhancer_jax.pipelines.pieces import Box, take, whole_span
from venhancer_jax.pipelines.spilled import LazyNoise, Video, scale_frames
from venhancer_jax.pipelines.venhancer import buckets
from venhancer_jax.pipelines.venhancer.encode import EncodedClip
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.pipelines.venhancer.plan import TimePlan, hint_noise


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Start and conditions of a whole clip.

    Attributes:
      start: noised latents `[1, F, h, w, C]` at the first time step.
      hint: noise-augmented latents of the key frames, `[1, K, h, w, C]`.
      hint_t: time step of the noise in the hint.
      scale: enlargement that the network is conditioned on.
      key_index: `[F]`, index of each frame among the key frames, -1 for interpolated frames.
    """

    start: Video
    hint: Video
    hint_t: int
    scale: float
    key_index: np.ndarray

    def for_windows(self, boxes: Sequence[Box]) -> dict[str, jax.Array]:
        """Returns the conditions of n windows: hint, hint_t, scale, key_index."""
        windows = np.stack([self.key_index[b.frames.start : b.frames.stop] for b in boxes])
        is_key = windows >= 0
        return {
            # Only the hints of a window's key frames are passed: one shape for all windows.
            "hint": jnp.concatenate(
                [self._hints(index, box) for index, box in zip(windows, boxes, strict=True)]
            ),
            "hint_t": jnp.full(len(boxes), self.hint_t),
            "scale": jnp.full(len(boxes), self.scale),
            "key_index": jnp.array(np.where(is_key, np.cumsum(is_key, axis=1) - 1, -1)),
        }

    def _hints(self, index: np.ndarray, box: Box) -> jax.Array:
        """Returns the hints of the key frames of a window, cropped to its tile."""
        hints = self.hint[:, index[index >= 0]]
        return take(hints, dataclasses.replace(box, frames=whole_span(hints.shape[1])))


def compute_conditions(
    encoded: EncodedClip,
    time: TimePlan,
    schedule: Schedule,
    noise: NoiseSource | LazyNoise,
    key_noise: NoiseSource | LazyNoise,
    options: ControlledOptions,
) -> Conditions:
    """Computes start and conditions from the latents of a clip.

    Args:
      encoded: latents of the key frames, or of all frames with `interpolation="flow"`; where they
        are on the disk, so are the results.
      time: frames of the grid.
      schedule: noise levels of the denoiser.
      noise: source of the noise on the frames of the grid.
      key_noise: source of the noise on the key frames.
      options: options of the user.
    """
    source = source_frames(encoded.mean.shape[1], time, options)
    latents: Any = encoded.mean[:, source]
    if encoded.std is not None:
        std: Any = encoded.std[:, source]
        latents = latents + std * noise("vae", 0, latents.shape)
    keys = latents[:, :: time.stride]
    hint_t, alpha, sigma = hint_noise(schedule, options)
    hint_fresh: Any = key_noise("hint", 0, keys.shape)
    hint = alpha * keys + sigma * hint_fresh
    t_start = options.noise_levels - 1
    start = schedule.alphas[t_start] * latents
    if options.start_noise:
        level = options.start_noise * schedule.sigmas[t_start]
        fresh: Any = noise("start", 0, latents.shape)
        start = start + level * fresh
    return Conditions(start, hint, hint_t, encoded.space.scale, np.array(time.key_index))


def input_latents(encoded: EncodedClip, time: TimePlan, options: ControlledOptions) -> Any:
    """Returns the latents of the input `[1, F, h, w, C]` at the time of each frame of the grid.

    Between key frames they are those of the motion where it was encoded, else a mix of both.

    Args:
      encoded: latents of the key frames, or of all frames with `interpolation="flow"`.
      time: frames of the grid.
      options: options of the user.
    """
    mean: Any = encoded.mean
    count = mean.shape[1]
    if options.encodes_interpolated or time.stride == 1:
        return mean[:, source_frames(count, time, options)]
    key, between = np.divmod(np.arange(time.frames), time.stride)
    index = buckets.mirror_pad_indices(count, int(key[-1]) + 2)
    before, after = mean[:, index[key]], mean[:, index[key + 1]]
    share = (between / time.stride).astype(np.float32)
    return before + scale_frames(after - before, share)


def source_frames(encoded: int, time: TimePlan, options: ControlledOptions) -> np.ndarray:
    """Returns the encoded frame that each frame of the grid starts from, `[F]`.

    Args:
      encoded: number of encoded frames.
      time: frames of the grid.
      options: options of the user.
    """
    frame = np.arange(time.frames)
    if not options.encodes_interpolated:
        # Each frame of the grid starts from the key frame at or before its position.
        frame = frame // time.stride
    # Frames that shape buckets add mirror those at the end.
    return buckets.mirror_pad_indices(encoded, int(frame[-1]) + 1)[frame]
