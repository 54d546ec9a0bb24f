"""VEnhancer: joint super-resolution in space and time, and refinement, of a video.

read -> resize -> encode -> conditions -> denoise in windows -> decode -> crop, as plain functions
over a plan.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.fidelity import hold_low_frequencies
from venhancer_jax.diffusion.noise import CounterNoise, NoiseSource
from venhancer_jax.diffusion.solvers import solve
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.continuation import WHOLE_CLIP, Place, continuing
from venhancer_jax.pipelines.denoise import windowed_denoiser
from venhancer_jax.pipelines.frame_times import OutputClock, at_output_times, output_clock
from venhancer_jax.pipelines.look import InputLook
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.segments import SegmentSizes
from venhancer_jax.pipelines.spilled import LazyNoise, LazyVideo, Video, map_frames
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, ProgramSpec
from venhancer_jax.pipelines.venhancer import buckets
from venhancer_jax.pipelines.venhancer.conditions import (
    Conditions,
    compute_conditions,
    input_latents,
)
from venhancer_jax.pipelines.venhancer.decode import decode_stream, decoder_pieces
from venhancer_jax.pipelines.venhancer.encode import EncodedClip, encode_clip
from venhancer_jax.pipelines.venhancer.networks import VEnhancerNetworks
from venhancer_jax.pipelines.venhancer.options import ControlledOptions, VEnhancerOptions
from venhancer_jax.pipelines.venhancer.plan import (
    SpacePlan,
    VEnhancerPlan,
    grid_stride,
    plan_clip,
    plan_space,
    plan_steps,
    plan_time,
    window_keys,
)
from venhancer_jax.pipelines.venhancer.program_specs import program_specs
from venhancer_jax.pipelines.venhancer.prompts import texts_of
from venhancer_jax.pipelines.venhancer.tiling import denoiser_tiling, encoder_tiling
from venhancer_jax.sharding.mesh import put_sharded
from venhancer_jax.video.frames import with_dtype


class VEnhancer(VEnhancerNetworks):
    """The system: frames to enhanced frames."""

    options_class: ClassVar[type[ControlledOptions]] = VEnhancerOptions

    def plan(self, clip: Clip, options: ControlledOptions) -> VEnhancerPlan:
        """Plans the enhancement of a clip.

        Raises:
          InputError: options that do not fit the clip.
        """
        rows, columns = self._moduli(options)
        plan = plan_clip(clip, options, rows=rows, columns=columns)
        return dataclasses.replace(plan, space=self._cut(plan.space, options))

    def plan_space(self, height: int, width: int, options: ControlledOptions) -> SpacePlan:
        """Plans the sizes for an input of `height` by `width` pixels.

        Raises:
          InputError: options that do not fit the size.
        """
        return self._cut(plan_space(height, width, options, *self._moduli(options)), options)

    def prepare(self, options: Sequence[ControlledOptions]) -> None:
        """Computes the features of all prompts of a run; the text encoder is loaded once."""
        texts = [text for each in options for text in texts_of(each)]
        with self.on_mesh():
            self.text(list(dict.fromkeys(texts)))

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: ControlledOptions,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Enhances a clip.

        Frames are consumed one by one and stored as latents; the first result comes when all are
        denoised.

        Args:
          frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type.
          rate: frames per second of the input.
          options: options of the enhancement.
          noise: source of all noise, by default counters from `options.seed`.
          text: features of prompt and negative prompt `[2, L, D]`, in place of those in `options`.
          progress: callback for the progress of each stage.

        Yields:
          RGB frames `[H', W', 3]` of the type of `frames`, at `plan(...).output.rate` frames per
            second.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        progress = progress or (lambda stage, done, total: None)
        dtype, frames = with_dtype(frames)
        look = self._look(rate, options)
        latents, plan = self.denoise_clip(
            look.watch(frames), rate=rate, options=options, noise=noise, text=text,
            progress=progress,
        )  # fmt: skip
        grid = self._decode_pixels(latents, plan.space, options, look, dtype)
        outputs = [(index, tick) for tick, index in enumerate(plan.time.take)]
        yield from (frame for frame, _ in at_output_times(grid, outputs, progress))

    def segment_sizes(self, rate: Fraction, options: ControlledOptions) -> SegmentSizes:
        """Returns how a clip is cut into segments."""
        stride = grid_stride(rate, options)
        window, overlap = window_keys(stride, options)
        windows = 0 if options.compat == "official" else options.segment_windows
        return SegmentSizes(window=window, overlap=overlap, windows=windows, stride=stride)

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: ControlledOptions
    ) -> OutputClock:
        """Returns the times at which the frames of the output are shown."""
        stride = grid_stride(rate, options)
        if options.quirks.published_times:
            return OutputClock(
                time_base=time_base or 1 / rate,
                stride=stride,
                rate=rate * stride,
                holds_last=False,
            )
        return output_clock(rate, time_base, options, stride)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: ControlledOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """Denoises a segment of a clip; its frames are decoded when they are requested."""
        dtype, frames = with_dtype(frames)
        look = self._look(rate, options, place)
        latents, plan = self.denoise_clip(
            look.watch(frames), rate=rate, options=options, place=place, progress=progress
        )
        stride = plan.time.stride
        window = self.segment_sizes(rate, options).window
        finished = place.keep(latents, stride=stride, window=window)

        def decode(stop: int) -> Iterator[np.ndarray]:
            # The decoder sees a few frames beyond both ends, so that their neighbours count.
            overlap = decoder_pieces(self.vae.config, options).overlap
            lead = place.lead(stride, overlap)
            first = (place.first - place.start) * stride
            last = min((stop - place.start) * stride, plan.time.frames - 1)
            begin = max(0, first - overlap)
            seen = latents[:, begin : last + 1 + overlap]
            if begin == 0 and lead is not None:
                with self.on_mesh():
                    seen = jnp.concatenate([put_sharded(lead, (None,) * lead.ndim), seen], axis=1)
                begin = -lead.shape[1]
            pixels = self._decode_pixels(seen, plan.space, options, look, dtype, begin)
            return itertools.islice(pixels, first - begin, last + 1 - begin)

        return EnhancedSegment(finished, decode)

    def denoise_clip(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: ControlledOptions,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        place: Place = WHOLE_CLIP,
        progress: Progress = lambda stage, done, total: None,
    ) -> tuple[Any, VEnhancerPlan]:
        """Computes the clean latents of a clip, all of `enhance` up to decoding.

        Args:
          frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type.
          rate: frames per second of the input.
          options: options of the enhancement.
          noise: source of all noise, by default counters from `options.seed`.
          text: features of prompt and negative prompt `[2, L, D]`, in place of those in `options`.
          place: place of the frames in a longer clip.
          progress: callback for the progress of each stage.

        Returns:
          Clean latents `[1, F, h, w, C]` of the grid, an array or a `LazyVideo` in `place.scratch`,
          and the plan of the clip.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        stride = grid_stride(rate, options)
        key_noise: Any = noise or CounterNoise(options.seed, place.start)
        grid_noise: Any = noise or CounterNoise(options.seed, place.start * stride)
        store = None
        with self.on_mesh():
            encoded, plan = self._encode(frames, rate, options, place, progress)
            if isinstance(encoded.mean, LazyVideo):
                key_noise = LazyNoise(key_noise, encoded.mean.folder)
                grid_noise = LazyNoise(grid_noise, encoded.mean.folder)
                store = LazyVideo.stored
            features = self.text(texts_of(options)) if text is None else text
            conditions = self.conditions(
                encoded, plan, features, grid_noise, key_noise, options, place, progress
            )
            held = input_latents(encoded, plan.time, options) if options.fidelity else None
            del encoded
            text_kv = programs.compute_text_kv(
                self.denoiser.network, self.denoiser.params, features
            )
            steps = plan_steps(self.schedule, options)
            denoise = windowed_denoiser(
                self.denoiser,
                plan.boxes(),
                conditions,
                text_kv,
                self.schedule,
                steps.calls,
                options,
            )
            denoise = hold_low_frequencies(denoise, held, options.fidelity, map_frames)
            latents = solve(
                continuing(denoise, place, stride),
                conditions.start,
                steps,
                grid_noise,
                lambda done, total: progress("denoise", done, total),
                store=store,
            )
        return latents, plan

    def conditions(
        self,
        encoded: EncodedClip,
        plan: VEnhancerPlan,
        text: jax.Array,
        noise: NoiseSource | LazyNoise,
        key_noise: NoiseSource | LazyNoise,
        options: ControlledOptions,
        place: Place,
        progress: Progress,
    ) -> Conditions:
        """Computes start and conditions of a clip, to which other systems add theirs.

        Args:
          encoded: latents of the clip.
          plan: plan of the clip.
          text: features of prompt and negative prompt `[2, L, D]`, of the prompt alone without
            guidance.
          noise: source of the noise on the frames of the grid.
          key_noise: source of the noise on the key frames.
          options: options of the enhancement.
          place: place of the frames in a longer clip.
          progress: callback for the progress of each stage.
        """
        del text, place, progress
        return compute_conditions(encoded, plan.time, self.schedule, noise, key_noise, options)

    def decode_frames(
        self, latents: Video, space: SpacePlan, options: ControlledOptions
    ) -> Iterator[jax.Array]:
        """Decodes latents `[1, F, h, w, C]` to frames `[n, H, W, 3]` in about [-1, 1].

        Args:
          latents: clean latents.
          space: sizes, by which the padding is cropped.
          options: options of the enhancement.

        Yields:
          The next n frames.
        """
        left, _, top, _ = space.padding
        height, width = space.size
        stream = decode_stream(
            self.decode,
            latents,
            decoder_pieces(self.vae.config, options),
            batch=self.num_pieces(),
        )
        for piece in self.each_on_mesh(stream):
            yield piece[0, :, top : top + height, left : left + width]

    def _look(
        self, rate: Fraction, options: ControlledOptions, place: Place = WHOLE_CLIP
    ) -> InputLook:
        stride = grid_stride(rate, options)
        return InputLook(options, colour=options.colour, start=place.start, stride=stride)

    def _decode_pixels(
        self,
        latents: Video,
        space: SpacePlan,
        options: ControlledOptions,
        look: InputLook,
        dtype: np.dtype,
        first: int = 0,
    ) -> Iterator[np.ndarray]:
        decoded = look.finish(self.decode_frames(latents, space, options), first)
        return self.to_bytes(decoded, truncate=options.quirks.truncate_bytes, dtype=dtype)

    def decode(self, latents: jax.Array) -> jax.Array:
        """Decodes latents `[n, F, h, w, C]` to frames `[n, F, H, W, 3]`, each group by itself."""
        with self.on_mesh():
            return programs.decode(self.vae.network, self.vae.params, latents)

    def programs(self, plan: VEnhancerPlan, options: ControlledOptions) -> list[ProgramSpec]:
        """Lists what an enhancement compiles: text, encode, denoise, decode."""
        return program_specs(self, plan, options)

    def _encode(
        self,
        frames: Iterable[np.ndarray],
        rate: Fraction,
        options: ControlledOptions,
        place: Place,
        progress: Progress,
    ) -> tuple[EncodedClip, VEnhancerPlan]:
        stride = grid_stride(rate, options)
        interpolated = stride - 1 if options.encodes_interpolated else 0
        count, size = 0, (0, 0)

        def counted() -> Iterator[np.ndarray]:
            nonlocal count, size
            for frame in frames:
                count, size = count + 1, frame.shape[:2]
                yield frame

        encoded = encode_clip(
            self.vae,
            counted(),
            plan_space=lambda height, width: self.plan_space(height, width, options),
            tiling=encoder_tiling(self.vae, options),
            options=options,
            interpolated=interpolated,
            progress=progress,
            scratch=place.scratch,
        )
        clip = Clip(frames=count, height=size[0], width=size[1], rate=rate)
        plan = self.plan(clip, options)
        if not place.alone:
            time = plan_time(count, rate, options, few_lengths=True)
            plan = dataclasses.replace(plan, time=time)
        return encoded if plan.spilled else encoded.in_memory(), plan

    def _cut(self, space: SpacePlan, options: ControlledOptions) -> SpacePlan:
        """Cuts frames into tiles for the denoiser."""
        pixels = self.vae.config.pixels_per_latent
        with self.on_mesh():
            tiling = denoiser_tiling(self.denoiser, pixels, options)
        return space.cut(tiling, pixels)

    def _moduli(self, options: ControlledOptions) -> tuple[tuple[int, int], int]:
        """Returns `(remainder, modulus)` of working heights, and the modulus of widths."""
        pixels = self.vae.config.pixels_per_latent
        remainder, modulus = self.denoiser.config.rows_modulus
        coarser = buckets.COARSER if options.shape_buckets else 1
        return (remainder * pixels, modulus * pixels * coarser), modulus * pixels * coarser
