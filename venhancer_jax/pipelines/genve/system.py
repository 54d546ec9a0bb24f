"""GenVE: VEnhancer, guided by a sharp picture of a key frame.

A picture is provided, or an image diffuser sharpens a frame; its noisy latents are carried along
the optical flow to all frames, where the ControlNet attends to them. Everything else is VEnhancer.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.errors import InputError
from venhancer_jax.models.genve.config import GenVEConfig
from venhancer_jax.pipelines.continuation import WHOLE_CLIP, Place
from venhancer_jax.pipelines.encode import encode_frames
from venhancer_jax.pipelines.flow import check_raft
from venhancer_jax.pipelines.genve.conditions import (
    ReferencedConditions,
    add_reference_noise,
    at_frame,
    carry_to_frames,
)
from venhancer_jax.pipelines.genve.flow import direct_flows
from venhancer_jax.pipelines.genve.image_diffuser import LatentDiffuser, prior_diffuser
from venhancer_jax.pipelines.genve.key_frames import KeyFrames, check_key_frame, choose_key_frames
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.genve.picture import read_picture, shrink_picture
from venhancer_jax.pipelines.genve.program_specs import program_specs
from venhancer_jax.pipelines.genve.sd21 import sd21_diffuser
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.spilled import LazyNoise
from venhancer_jax.pipelines.system import LoadedNetwork, ProgramSpec
from venhancer_jax.pipelines.venhancer.conditions import Conditions, source_frames
from venhancer_jax.pipelines.venhancer.encode import EncodedClip, resize_frame
from venhancer_jax.pipelines.venhancer.options import ControlledOptions
from venhancer_jax.pipelines.venhancer.plan import VEnhancerPlan, hint_noise
from venhancer_jax.pipelines.venhancer.prompts import texts_of
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.pipelines.venhancer.tiling import encoder_tiling
from venhancer_jax.sharding.mesh import put_sharded
from venhancer_jax.video import resize


@dataclasses.dataclass(frozen=True)
class WatchedClip(EncodedClip):
    """Latents of a clip, and its frames.

    Attributes:
      frames: frames of the input `[H, W, 3]`.
    """

    frames: Sequence[np.ndarray] = ()


@dataclasses.dataclass(frozen=True)
class GenVE(VEnhancer):
    """The system: frames to enhanced frames.

    Attributes:
      raft: optical flow; None without its weights.
      image: UNet of Stable Diffusion 2.1; None without its weights.
    """

    raft: LoadedNetwork | None = None
    image: LoadedNetwork | None = None

    options_class: ClassVar[type[ControlledOptions]] = GenVEOptions

    def prepare(self, options: Sequence[Any]) -> None:
        """Computes the features of all prompts of a run; the text encoder is loaded once.

        Raises:
          InputError: options that need weights which are not loaded.
        """
        for each in options:
            self.check_weights(each)
        super().prepare([*options, *(image_prompts(each) for each in options)])

    def check_weights(self, options: GenVEOptions) -> None:
        """Checks that the loaded networks can do what is requested.

        Raises:
          InputError: a reference without a network that attends to it, that generates it, or
            that carries it to frames.
        """
        if options.reference == "none":
            return
        config = self.denoiser.config
        if not isinstance(config, GenVEConfig) or config.fusion == "none":
            raise InputError(
                f"reference {options.reference!r}: the network of the checkpoint attends to no"
                " reference; expected one that was trained as GenVE (configs/train_genve.py)."
                " Set --config.reference=none to enhance without"
            )
        if options.picture is None:
            self.image_diffuser(options)
        if options.flow == "raft":
            check_raft(self.raft, "flow 'raft'")

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
        """Computes start and conditions of a clip; see `VEnhancer.conditions`."""
        conditions = super().conditions(
            encoded, plan, text, noise, key_noise, options, place, progress
        )
        assert isinstance(options, GenVEOptions)
        if not isinstance(encoded, WatchedClip):
            return conditions
        assert not isinstance(key_noise, LazyNoise)
        keys = choose_key_frames(len(encoded.frames), place.start, options)
        if options.picture is None:
            latents = self._sharpen(encoded, keys, text, key_noise, options, place, progress)
            pictures = [encoded.frames[position] for position in keys.positions]
        else:
            latents, picture = self._read_picture(options, plan)
            # Where it is not known which frame it shows, or that frame is not here, the flow is
            # that to the picture itself.
            shown = place.start + keys.positions[0] == options.key_frame
            pictures = [encoded.frames[keys.positions[0]] if shown else picture]
        flow = direct_flows(
            self.raft if options.flow == "raft" else None,
            encoded.frames,
            pictures,
            keys.nearest,
            plan.space,
            self.vae.config.pixels_per_latent,
        )
        _, *level = hint_noise(self.schedule, options)
        frames = [place.start + position for position in keys.positions]
        if options.picture is not None:
            frames = [max(0, options.key_frame)]  # the same noise in all segments
        noisy = add_reference_noise(latents, frames, (level[0], level[1]), key_noise)
        source = source_frames(len(encoded.frames), plan.time, options)
        carried = carry_to_frames(
            noisy,
            keys.nearest[source],
            jnp.asarray(put_sharded(flow[source], (None,) * flow.ndim)),
        )
        return ReferencedConditions(
            **{f.name: getattr(conditions, f.name) for f in dataclasses.fields(conditions)},
            reference=carried,
            denoiser=self.denoiser,
        )

    def programs(self, plan: VEnhancerPlan, options: ControlledOptions) -> list[ProgramSpec]:
        """Lists what an enhancement compiles: text, encode, image, flow, texture, denoise, decode.

        Raises:
          InputError: options that need weights which are not loaded.
        """
        assert isinstance(options, GenVEOptions)
        if options.reference == "none":
            return super().programs(plan, options)
        self.check_weights(options)
        raft = self.raft if options.flow == "raft" else None
        image = self.image_diffuser(options) if options.picture is None else None
        return program_specs(self, raft, image, plan, options)

    def image_diffuser(self, options: GenVEOptions) -> LatentDiffuser:
        """Returns the network that sharpens key frames.

        Raises:
          InputError: a network that is not loaded, or works on other latents.
        """
        pixels = self.vae.config.pixels_per_latent
        if options.reference == "prior":
            return prior_diffuser(self.denoiser, self.schedule, pixels=pixels)
        if self.image is None:
            raise InputError(
                "reference 'sd21': expected the weights of Stable Diffusion 2.1; set"
                " --config.image_checkpoint=FILE, or --config.reference=prior, which needs none"
            )
        config = self.denoiser.config
        return sd21_diffuser(
            self.image,
            latent_channels=config.latent_channels,
            context_width=config.context_width,
            pixels=pixels,
        )

    def _sharpen(
        self,
        encoded: WatchedClip,
        keys: KeyFrames,
        text: jax.Array,
        noise: NoiseSource,
        options: GenVEOptions,
        place: Place,
        progress: Progress,
    ) -> jax.Array:
        """Sharpens the latents `[K, h, w, C]` of key frames."""
        diffuser, count = self.image_diffuser(options), len(keys.positions)
        if options.image_guidance != 1 and len(text) == 1:
            text = self.text(texts_of(image_prompts(options)))
        sharp = []
        for i, position in enumerate(keys.positions):

            def on_step(stage: str, done: int, total: int | None, i: int = i) -> None:
                assert total is not None
                progress(stage, i * total + done, count * total)

            sharp.append(
                diffuser.sharpen(
                    encoded.mean[:, position : position + 1],  # pyright: ignore[reportArgumentType]
                    text,
                    options,
                    noise=at_frame(noise, place.start + position),
                    progress=on_step,
                )[0]
            )
        return jnp.concatenate(sharp)

    def _read_picture(
        self, options: GenVEOptions, plan: VEnhancerPlan
    ) -> tuple[jax.Array, np.ndarray]:
        """Returns the latents `[1, h, w, C]` of the picture, and it in the size of the clip."""
        assert options.picture is not None
        size = plan.clip.height, plan.clip.width
        picture = read_picture(options.picture, *size)
        tiling = encoder_tiling(self.vae, options)
        resized = resize_frame(picture, plan.space.size, options)
        padded = resize.pad(resized, plan.space.padding)
        posterior = encode_frames(self.vae, [padded], tiling.windows)
        latents = self.vae.config.scaling_factor * posterior.mean[0]
        return latents, shrink_picture(picture, size)

    def _encode(
        self,
        frames: Iterable[np.ndarray],
        rate: Fraction,
        options: ControlledOptions,
        place: Place,
        progress: Progress,
    ) -> tuple[EncodedClip, VEnhancerPlan]:
        assert isinstance(options, GenVEOptions)
        if options.reference == "none":
            return super()._encode(frames, rate, options, place, progress)
        self.check_weights(options)
        watched: list[np.ndarray] = []

        def watch() -> Iterator[np.ndarray]:
            for frame in frames:
                watched.append(frame)
                yield frame

        encoded, plan = super()._encode(watch(), rate, options, place, progress)
        if place is WHOLE_CLIP:
            check_key_frame(options, len(watched))
        if plan.spilled:
            raise InputError(
                f"a scene of {len(watched)} frames is too long to carry a reference through at"
                " once; set --config.segment_windows=2, or --config.reference=none"
            )
        return WatchedClip(encoded.space, encoded.mean, encoded.std, watched), plan


def image_prompts(options: GenVEOptions) -> GenVEOptions:
    """Returns options whose prompts are those of the image diffuser."""
    if options.reference in ("prior", "sd21"):
        return dataclasses.replace(options, guidance_scale=options.image_guidance)
    return options
