"""VEnhancer: joint super-resolution in space and time, and refinement, of a video.

read -> resize -> encode -> noise -> denoise in windows -> decode -> crop, as plain functions over
a plan that is made first.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from venhancer_jax.diffusion.noise import CounterNoise, NoiseSource
from venhancer_jax.diffusion.schedule import Schedule, cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.diffusion.windowed import windowed
from venhancer_jax.errors import InputError
from venhancer_jax.models.autoencoders.vae import DiagonalGaussian, VAEConfig
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.text_kv_cache import TextKVCache
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.models.text.null import NullTextConfig
from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.pipelines.venhancer import buckets, programs
from venhancer_jax.pipelines.venhancer.decode import decode_stream
from venhancer_jax.pipelines.venhancer.plan import (
    SpacePlan,
    TimePlan,
    hint_noise,
    plan_space,
    plan_steps,
    plan_time,
)
from venhancer_jax.pipelines.venhancer.prompts import NEGATIVE, join_prompt
from venhancer_jax.pipelines.venhancer.step_cache import Reusing, plan_work
from venhancer_jax.sharding.mesh import num_shards, on_mesh
from venhancer_jax.text.tokenizer import tokenize
from venhancer_jax.video import resize
from venhancer_jax.video.motion import interpolate_frames
from venhancer_jax.video.windows import Window

# Told `(stage, done, total)`; the total is None while it is not known.
Progress = Callable[[str, int, int | None], None]


Config = TypeVar("Config", UNet3DConfig, VAEConfig, ClipTextConfig | NullTextConfig)


@dataclasses.dataclass(frozen=True)
class Part(Generic[Config]):
    """A network with its parameters."""

    config: Config
    network: FunctionalModule
    params: Params


@dataclasses.dataclass(frozen=True)
class VEnhancer:
    """The system: denoiser (UNet and ControlNet), VAE and text tower.

    Attributes:
      denoiser: predicts v.
      vae: between pixels and latents.
      text: prompt features.
      schedule: noise levels of the denoiser.
      mesh: devices to use together, with all parameters on each; None for one device.
    """

    denoiser: Part[UNet3DConfig]
    vae: Part[VAEConfig]
    text: Part[ClipTextConfig | NullTextConfig]
    schedule: Schedule = dataclasses.field(default_factory=cosine_interpolated_schedule)
    mesh: Mesh | None = None

    def plan_space(self, height: int, width: int, options: EnhanceOptions) -> SpacePlan:
        """Sizes for an input of `height` by `width` pixels."""
        pixels = self.vae.config.pixels_per_latent
        remainder, modulus = self.denoiser.config.rows_modulus
        pixels_modulus = modulus * pixels * (buckets.COARSER if options.shape_buckets else 1)
        rows = (remainder * pixels, pixels_modulus)
        return plan_space(height, width, options, rows, pixels_modulus)

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: EnhanceOptions,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Enhances a clip.

        Frames are taken one by one and kept as latents only; the first one comes out when all
        are denoised.

        Args:
          frames: uint8 `[H, W, 3]` each, all of one size.
          rate: of the frames, a second.
          options: what to do.
          noise: source of all noise, by default counters from `options.seed`.
          text: features of prompt and negative prompt `[2, L, D]` in place of those in `options`.
          progress: told how far each stage is.

        Yields:
          uint8 `[H', W', 3]`, at `plan_time(...).rate` frames a second.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        noise = noise or CounterNoise(options.seed)
        progress = progress or (lambda stage, done, total: None)
        with self.on_devices():
            latents, space, time = self.denoised(
                frames, rate=rate, options=options, noise=noise, text=text, progress=progress
            )
        yield from self._decoded(latents, space, time, options, progress)

    def denoised(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: EnhanceOptions,
        noise: NoiseSource,
        text: jax.Array | None,
        progress: Progress,
    ) -> tuple[jax.Array, SpacePlan, TimePlan]:
        """All of `enhance` up to the clean latents `[1, F, h, w, 4]`, with the plans made."""
        stride = plan_time(1, rate, options).stride
        space, (mean, std) = self._encoded(frames, stride, options, progress)
        encoded, each = mean.shape[1], stride if options.interpolation == "flow" else 1
        time = buckets.plan_extended_time((encoded - 1) // each + 1, rate, options)
        if options.shape_buckets:
            extended = buckets.mirror_pad_indices(encoded, (time.frames - 1) // stride * each + 1)
            mean, std = mean[:, extended], std[:, extended]
        if options.interpolation == "previous":
            # Each frame of the grid starts from the key frame at or before it.
            source = np.arange((mean.shape[1] - 1) * stride + 1) // stride
            mean, std = mean[:, source], std[:, source]
        # The published program draws every frame from the posterior, copies by themselves.
        z = mean + std * noise("vae", 0, mean.shape) if options.official else mean
        keys, shape = z[:, ::stride], z.shape
        t_hint, alpha, sigma = hint_noise(self.schedule, options)
        hint = alpha * keys + sigma * noise("hint", 0, keys.shape)
        steps = plan_steps(self.schedule, options)
        t_start = options.noise_levels - 1
        start = self.schedule.alphas[t_start] * z
        if options.start_noise:
            level = options.start_noise * self.schedule.sigmas[t_start]
            start = start + level * noise("start", 0, shape)
        features = self._text_features(options) if text is None else text
        projected = programs.compute_text_kv(self.denoiser.network, self.denoiser.params, features)
        denoise = self._windowed_denoise(
            hint, t_hint, space.scale, time, projected, steps.calls, options
        )
        latents = solve(
            denoise, start, steps, noise, lambda done, total: progress("denoise", done, total)
        )
        return latents, space, time

    def frames_of(self, latents: jax.Array, space: SpacePlan) -> Iterator[jax.Array]:
        """Frames `[n, H, W, 3]` in about [-1, 1] of latents `[1, F, h, w, 4]`, a few at a time."""
        left, _, top, _ = space.padding
        height, width = space.size
        pixels = self.vae.config.pixels_per_latent
        with self.on_devices():
            at_once = num_shards("piece")
        for piece in decode_stream(self.decode, latents, pixels_per_latent=pixels, at_once=at_once):
            yield piece[0, :, top : top + height, left : left + width]

    def decode(self, latents: jax.Array) -> jax.Array:
        """Frames `[n, F, H, W, 3]` in [-1, 1] of latents `[n, F, h, w, 4]`, n groups of frames."""
        with self.on_devices():
            return programs.decode(self.vae.network, self.vae.params, latents)

    def _encoded(
        self, frames: Iterable[np.ndarray], stride: int, options: EnhanceOptions, progress: Progress
    ) -> tuple[SpacePlan, tuple[jax.Array, jax.Array]]:
        """Plan of the sizes, and mean and deviation of the scaled latents `[1, N, h, w, 4]`.

        Of the frames that are given, or with those between them that the optical flow makes.
        """
        space, size, before, means, stds, count = None, None, None, [], [], 0
        times = (
            [Fraction(i, stride) for i in range(1, stride)]
            if options.interpolation == "flow"
            else []
        )
        waiting: list[np.ndarray] = []

        def encode_waiting() -> None:
            made = self._encode(waiting)
            means.append(made.mean * self.vae.config.scaling_factor)
            stds.append(made.std * self.vae.config.scaling_factor)
            waiting.clear()
            progress("encode", count, None)

        for count, frame in enumerate(frames, 1):
            if space is None:
                size = frame.shape
                space = self.plan_space(frame.shape[0], frame.shape[1], options)
            if frame.shape != size:
                raise InputError(f"frame {count - 1} is {frame.shape}, the first one {size}")
            enlarged = [
                resize.resize_bilinear(
                    resize.to_signed(frame), space.size, antialias=not options.official
                )
            ]
            if times and before is not None:
                pair = resize.to_bytes(before), resize.to_bytes(enlarged[0])
                enlarged = [*map(resize.to_signed, interpolate_frames(*pair, times)), *enlarged]
            before = enlarged[-1]
            for each in enlarged:
                waiting.append(resize.pad(each, space.padding, white=options.official))
                if len(waiting) == num_shards("piece"):
                    encode_waiting()
        if space is None:
            raise InputError("no frames: the video is empty or starts after its end")
        if waiting:
            encode_waiting()
        return space, (jnp.concatenate(means, axis=1), jnp.concatenate(stds, axis=1))

    def _encode(self, frames: Sequence[np.ndarray]) -> DiagonalGaussian:
        """Raw latents `[1, n, h, w, 4]` of frames, one for each device; copies fill the rest up."""
        filled = [*frames, *[frames[-1]] * (num_shards("piece") - len(frames))]
        made = programs.encode(
            self.vae.network,
            self.vae.params,
            on_mesh(np.stack(filled)[:, None], programs.PIECES),
        )
        return jax.tree.map(lambda x: x[: len(frames), 0][None], made)

    def _text_features(self, options: EnhanceOptions) -> jax.Array:
        """`[2, L, D]`, or `[1, L, D]` where there is no guidance."""
        negative = NEGATIVE if options.negative_prompt is None else options.negative_prompt
        texts = [join_prompt(options.prompt, official=options.official), negative]
        texts = texts if options.guidance_scale != 1 else texts[:1]
        # The vocabulary takes half a second to load, and a model without text reads none.
        learned = not isinstance(self.text.config, NullTextConfig)
        tokens = tokenize(texts) if learned else np.zeros((len(texts), 0), np.int32)
        return programs.embed_text(self.text.network, self.text.params, tokens)

    def _windowed_denoise(
        self,
        hint: jax.Array,
        t_hint: int,
        scale: float,
        time: TimePlan,
        text: TextKVCache,
        calls: Sequence[int],
        options: EnhanceOptions,
    ) -> Callable[[jax.Array, np.integer], jax.Array]:
        guidance = (
            jnp.float32(options.guidance_scale),
            jnp.float32(options.guidance_rescale),
        )
        index = np.array(time.key_index)
        pair = jax.tree.leaves(text)[0].shape[0] == 2
        works = plan_work(calls, options, guided=pair)
        reusing: dict[tuple[Window, ...], Reusing] = {}

        def of_windows(x: jax.Array, t: np.integer, windows: Sequence[Window]) -> jax.Array:
            local = np.stack([index[slice(*window)] for window in windows])
            is_key = local >= 0
            conditions = {
                # Only the hints of a window's key frames are passed: one shape for all windows.
                "hint": jnp.concatenate([hint[:, i[i >= 0]] for i in local]),
                "hint_t": jnp.full(len(windows), t_hint),
                "scale": jnp.full(len(windows), scale),
                "key_index": jnp.array(np.where(is_key, np.cumsum(is_key, axis=1) - 1, -1)),
            }
            levels = jnp.asarray(self.schedule.alphas[t]), jnp.asarray(self.schedule.sigmas[t])
            network, params = self.denoiser.network, self.denoiser.params
            if not options.reuses:
                return programs.denoise(network, params, x, t, levels, text, guidance, conditions)
            return reusing.setdefault(tuple(windows), Reusing(works))(
                lambda work, kept: programs.denoise_reusing(
                    network, work, params, x, t, levels, text, guidance, conditions, kept
                )
            )

        return windowed(of_windows, time.windows, max(1, num_shards("batch") // (2 if pair else 1)))

    def _decoded(
        self,
        latents: jax.Array,
        space: SpacePlan,
        time: TimePlan,
        options: EnhanceOptions,
        progress: Progress,
    ) -> Iterator[np.ndarray]:
        """Decodes, crops, and repeats or drops frames of the grid as the plan says."""
        grid, given = 0, 0
        for piece in self.frames_of(latents, space):
            for frame in np.asarray(programs.to_bytes(piece, options.official)):
                while given < len(time.take) and time.take[given] == grid:
                    yield frame
                    given += 1
                    progress("decode", given, len(time.take))
                if given == len(time.take):
                    return
                grid += 1

    def on_devices(self) -> contextlib.AbstractContextManager:
        """Within it, what is compiled and run is split over the mesh."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)
