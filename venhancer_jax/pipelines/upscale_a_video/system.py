"""Upscale-A-Video: text-guided super-resolution of a video, four times in both directions.

read -> flow -> noise -> denoise in windows, propagate -> decode -> colour -> resize, as plain
functions over a plan.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

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
from venhancer_jax.pipelines.system import Clip, EnhancedSegment, ProgramSpec
from venhancer_jax.pipelines.upscale_a_video.conditions import (
    compute_conditions,
    input_latents,
)
from venhancer_jax.pipelines.upscale_a_video.decode import decode_tiles, finish
from venhancer_jax.pipelines.upscale_a_video.flow import Flows
from venhancer_jax.pipelines.upscale_a_video.motion import check_flow, compute_flows, refiner
from venhancer_jax.pipelines.upscale_a_video.networks import UpscaleAVideoNetworks
from venhancer_jax.pipelines.upscale_a_video.options import UpscaleAVideoOptions
from venhancer_jax.pipelines.upscale_a_video.plan import UpscaleAVideoPlan, plan_clip
from venhancer_jax.pipelines.upscale_a_video.program_specs import program_specs
from venhancer_jax.pipelines.upscale_a_video.prompts import texts_of
from venhancer_jax.pipelines.upscale_a_video.source import Source, read_source
from venhancer_jax.sharding.mesh import put_sharded
from venhancer_jax.video.frames import with_dtype


@dataclasses.dataclass(frozen=True)
class DenoisedClip:
    """Clean latents of a clip.

    Attributes:
      source: low-resolution frames, and the plan of the clip.
      latents: latents `[1, F, h, w, C]` of each tile.
    """

    source: Source
    latents: tuple[jax.Array, ...]

    @property
    def plan(self) -> UpscaleAVideoPlan:
        """Returns the plan of the clip."""
        return self.source.plan


class UpscaleAVideo(UpscaleAVideoNetworks):
    """The system: frames to enhanced frames."""

    options_class = UpscaleAVideoOptions

    def plan(self, clip: Clip, options: UpscaleAVideoOptions) -> UpscaleAVideoPlan:
        """Plans the enhancement of a clip.

        Raises:
          InputError: options that do not fit the clip.
        """
        return plan_clip(clip, options)

    def prepare(self, options: Sequence[UpscaleAVideoOptions]) -> None:
        """Computes the features of all prompts of a run; the text encoder is loaded once.

        Raises:
          InputError: propagation without the weights of the optical flow.
        """
        for each in options:
            check_flow(self.raft, each)
        texts = [text for each in options for text in texts_of(each)]
        with self.on_mesh():
            self.text(list(dict.fromkeys(texts)))

    def enhance(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: UpscaleAVideoOptions,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        progress: Progress | None = None,
    ) -> Iterator[np.ndarray]:
        """Enhances a clip.

        All frames are read and denoised before the first result is decoded.

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
        look = InputLook(options)
        denoised = self.denoise_clip(
            look.watch(frames), rate=rate, options=options, noise=noise, text=text,
            progress=progress,
        )  # fmt: skip
        pixels = self._decode_pixels(denoised, options, look, dtype)
        outputs = [(index, tick) for tick, index in enumerate(denoised.plan.take)]
        yield from (frame for frame, _ in at_output_times(pixels, outputs, progress))

    def segment_sizes(self, rate: Fraction, options: UpscaleAVideoOptions) -> SegmentSizes:
        """Returns how a clip is cut into segments."""
        del rate
        windows = 0 if options.compat == "official" else options.segment_windows
        overlap = min(max(1, options.window_overlap), options.window - 1)
        return SegmentSizes(window=options.window, overlap=overlap, windows=windows)

    def output_clock(
        self, rate: Fraction, time_base: Fraction | None, options: UpscaleAVideoOptions
    ) -> OutputClock:
        """Returns the times at which the frames of the output are shown."""
        return output_clock(rate, time_base, options, 1)

    def enhance_segment(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: UpscaleAVideoOptions,
        place: Place,
        progress: Progress,
    ) -> EnhancedSegment:
        """Denoises a segment of a clip; its frames are decoded when they are requested."""
        dtype, frames = with_dtype(frames)
        look = InputLook(options, start=place.start)
        denoised = self.denoise_clip(
            look.watch(frames), rate=rate, options=options, place=place, progress=progress
        )
        finished = None
        if len(denoised.latents) == 1:
            finished = place.keep(denoised.latents[0], stride=1, window=options.window)

        def decode(stop: int) -> Iterator[np.ndarray]:
            pixels = self._decode_pixels(denoised, options, look, dtype)
            return itertools.islice(pixels, place.first - place.start, stop + 1 - place.start)

        return EnhancedSegment(finished, decode)

    def denoise_clip(
        self,
        frames: Iterable[np.ndarray],
        *,
        rate: Fraction,
        options: UpscaleAVideoOptions,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        flows: Flows | None = None,
        place: Place = WHOLE_CLIP,
        progress: Progress = lambda stage, done, total: None,
    ) -> DenoisedClip:
        """Computes the clean latents of a clip, all of `enhance` up to decoding.

        Args:
          frames: uint8 or uint16 RGB frames `[H, W, 3]`, all of one size and type.
          rate: frames per second of the input.
          options: options of the enhancement.
          noise: source of all noise, by default counters from `options.seed`.
          text: features of prompt and negative prompt `[2, L, D]`, in place of those in `options`.
          flows: flows `[F - 1, h, w, 2]` both ways, in place of those that `options` name.
          place: place of the frames in a longer clip.
          progress: callback for the progress of each stage.

        Raises:
          InputError: no frames, frames of several sizes, or options that do not fit them.
        """
        if flows is None:
            check_flow(self.raft, options)
        source = read_source(frames, rate, options, progress)
        return self.denoise_source(
            source, options, noise=noise, text=text, flows=flows, place=place, progress=progress
        )

    def denoise_source(
        self,
        source: Source,
        options: UpscaleAVideoOptions,
        *,
        noise: NoiseSource | None = None,
        text: jax.Array | None = None,
        flows: Flows | None = None,
        place: Place = WHOLE_CLIP,
        progress: Progress = lambda stage, done, total: None,
    ) -> DenoisedClip:
        """Computes the clean latents of low-resolution frames; see `denoise_clip`.

        Args:
          source: low-resolution frames, and the plan of the clip.
          options: options of the enhancement.
          noise: source of all noise, by default counters from `options.seed`.
          text: features of prompt and negative prompt `[2, L, D]`, in place of those in `options`.
          flows: flows `[F - 1, h, w, 2]` both ways, in place of those that `options` name.
          place: place of the frames in a longer clip.
          progress: callback for the progress of each stage.
        """
        noise = noise or CounterNoise(options.seed, place.start)
        tiles = source.plan.space.tiles
        steps = self.scheduler.ddim_steps(options.steps)
        latents: list[jax.Array] = []
        with self.on_mesh():
            if text is None:
                text = self.text(texts_of(options))
            text_kv = programs.compute_text_kv(self.denoiser.network, self.denoiser.params, text)
            if flows is None and options.propagation_steps:
                flows = compute_flows(self.raft, source, options)
            low_res = source.padded()[None]

            def on_step(done: int, total: int) -> None:
                progress("denoise", len(latents) * total + done, len(tiles) * total)

            for i, tile in enumerate(tiles):
                part = low_res[:, :, slice(*tile.rows), slice(*tile.columns)]
                conditions = compute_conditions(
                    jnp.asarray(put_sharded(part, (None,) * part.ndim)),
                    i,
                    self.denoiser.config.latent_channels,
                    self.low_res_schedule,
                    noise,
                    options.noise_level,
                )
                denoise = windowed_denoiser(
                    self.denoiser,
                    source.plan.boxes(tile),
                    conditions,
                    text_kv,
                    self.scheduler.schedule,
                    steps.calls,
                    options,
                )
                held = input_latents(self.vae, part[0], source.plan) if options.fidelity else None
                denoise = hold_low_frequencies(denoise, held, options.fidelity)
                refine = None if flows is None else refiner(flows, tile, options)
                latents.append(
                    solve(
                        continuing(denoise, place, 1),
                        conditions.start,
                        steps,
                        noise,
                        on_step,
                        refine=refine,
                    )
                )
        return DenoisedClip(source, tuple(latents))

    def decode_frames(
        self, denoised: DenoisedClip, options: UpscaleAVideoOptions
    ) -> Iterator[jax.Array]:
        """Decodes a clip to frames `[n, H, W, 3]` in about [-1, 1].

        Args:
          denoised: clean latents.
          options: options of the enhancement.

        Yields:
          The next n frames.
        """
        stream = decode_tiles(self.vae, denoised.latents, denoised.source, batch=self.num_pieces())
        position = 0
        for frames in self.each_on_mesh(stream):
            low_res = denoised.source.frames[position : position + len(frames)]
            position += len(frames)
            with self.on_mesh():
                finished = finish(frames, low_res, denoised.plan.space, options.colour)
            yield finished

    def _decode_pixels(
        self,
        denoised: DenoisedClip,
        options: UpscaleAVideoOptions,
        look: InputLook,
        dtype: np.dtype,
    ) -> Iterator[np.ndarray]:
        finished = look.finish(self.decode_frames(denoised, options))
        return self.to_bytes(finished, truncate=options.quirks.truncate_bytes, dtype=dtype)

    def programs(self, plan: UpscaleAVideoPlan, options: UpscaleAVideoOptions) -> list[ProgramSpec]:
        """Lists what an enhancement compiles: text, flow, denoise, decode."""
        return program_specs(self, plan, options)
