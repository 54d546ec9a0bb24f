"""The image diffuser: sharpens the latents of one frame by image-to-image denoising.

The start is noisy enough that texture is synthesised; calibration (`diffusion/calibration.py`)
keeps content and layout. Tiles, guidance and steps are those of the video, by the same code.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from venhancer_jax.diffusion.calibration import calibrate
from venhancer_jax.diffusion.noise import NoiseSource
from venhancer_jax.diffusion.schedule import Schedule, cosine_interpolated_schedule
from venhancer_jax.diffusion.solvers import LinearSteps, ddim_steps, solve
from venhancer_jax.diffusion.timesteps import even_times
from venhancer_jax.errors import InputError
from venhancer_jax.models.functional import FunctionalModule, Params
from venhancer_jax.models.layers.text_kv_cache import Text, text_for
from venhancer_jax.models.venhancer.controlnet import ControlledUNet
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.denoise import windowed_denoiser
from venhancer_jax.pipelines.options import GuidedOptions
from venhancer_jax.pipelines.pieces import Box, whole_span
from venhancer_jax.pipelines.progress import Progress
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.tiles import Modulus, Tiling, latents_that_fit, tile_boxes
from venhancer_jax.sharding.mesh import num_shards

STREAM = "image_start"
# Latents that a tile sees beyond its core, and arrays of the first level that are held together:
# those of the video's denoiser.
_MARGIN, _ARRAYS = 6, 32


class ImageOptions(Protocol):
    """Options that an image diffuser reads.

    Attributes:
      image_start: time step that the denoising starts from, 1 to 999.
      image_steps: number of steps, at most `image_start`.
      image_guidance: guidance scale; 1 is off.
      guidance_rescale: share of the contrast added by guidance that is removed again.
      tile: side of the tiles in pixels, `auto` or `none`.
      tile_overlap: pixels that a tile sees beyond its sides; None for those that hide its borders.
    """

    @property
    def image_start(self) -> int: ...
    @property
    def image_steps(self) -> int: ...
    @property
    def image_guidance(self) -> float: ...
    @property
    def guidance_rescale(self) -> float: ...
    @property
    def tile(self) -> str | int: ...
    @property
    def tile_overlap(self) -> int | None: ...


class ImageDiffuser(Protocol):
    """A network that sharpens one frame."""

    def sharpen(
        self,
        z: jax.Array,
        text: jax.Array,
        options: ImageOptions,
        *,
        noise: NoiseSource,
        progress: Progress = lambda stage, done, total: None,
    ) -> jax.Array:
        """Sharpens the latents of a frame.

        Args:
          z: clean latents `[1, 1, h, w, C]` of the frame, in the units of the video's denoiser.
          text: features `[2, L, D]` of the prompt and the negative prompt; of the prompt alone
            without guidance.
          options: options of the enhancement.
          noise: source of the noise of the start and of the calibration.
          progress: callback for the progress of the stage `image`.

        Returns:
          Clean latents `[1, 1, h, w, C]` of a sharp frame.
        """
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentDiffuser:
    """An image diffuser that works on the latents of the video.

    Attributes:
      denoiser: network that predicts v, with the method `with_features`.
      schedule: noise levels of the network.
      width: channels of the network's first level.
      moduli: remainder and modulus of the rows, and of the columns, that the network takes.
      pixels: rows and columns of pixels for each latent.
    """

    denoiser: LoadedNetwork
    schedule: Schedule
    width: int
    moduli: tuple[Modulus, Modulus]
    pixels: int = 8

    def sharpen(
        self,
        z: jax.Array,
        text: jax.Array,
        options: ImageOptions,
        *,
        noise: NoiseSource,
        progress: Progress = lambda stage, done, total: None,
    ) -> jax.Array:
        """Sharpens the latents of a frame; see `ImageDiffuser.sharpen`."""
        steps = self.plan_steps(options)
        first = int(steps.t[0])
        guided = options.image_guidance != 1
        text_kv = programs.compute_text_kv(
            self.denoiser.network, self.denoiser.params, text[: 1 + guided]
        )
        denoise = windowed_denoiser(
            self.denoiser,
            self.boxes((z.shape[2], z.shape[3]), options),
            _Unconditioned(),
            text_kv,
            self.schedule,
            steps.calls,
            GuidedOptions(
                guidance_scale=options.image_guidance, guidance_rescale=options.guidance_rescale
            ),
        )
        return solve(
            denoise,
            self.schedule.add_noise(z, noise(STREAM, 0, z.shape), first),
            steps,
            noise,
            lambda done, total: progress("image", done, total),
            adjust=calibrate(z, self.schedule, steps.t, noise),
        )

    def plan_steps(self, options: ImageOptions) -> LinearSteps:
        """Computes the steps of DDIM, evenly spaced from `image_start` to clean latents.

        Raises:
          InputError: a start beyond the schedule, or more steps than times.
        """
        start, steps = options.image_start, options.image_steps
        last = len(self.schedule.alphas) - 1
        if not 1 <= start <= last:
            raise InputError(f"image_start {start}: expected from 1 to {last}")
        if not 1 <= steps <= start:
            raise InputError(
                f"image_steps {steps}: expected from 1 to image_start, {start}, the times to step"
                " through; lower image_steps or raise image_start"
            )
        return ddim_steps(self.schedule, even_times(steps, start))

    def boxes(self, size: tuple[int, int], options: ImageOptions) -> list[Box]:
        """Returns the tiles of a frame on the mesh in use, as many as its memory needs.

        Args:
          size: rows and columns of latents.
          options: options of the enhancement.
        """
        copies = 2 if options.image_guidance != 1 else 1
        itemsize = jnp.dtype(self.denoiser.config.dtype).itemsize
        area = latents_that_fit(
            self.denoiser.params,
            _ARRAYS * self.width * itemsize * copies,
            shards=num_shards("batch") * num_shards("row"),
        )
        tiling = Tiling(area=area, margin=_MARGIN, moduli=self.moduli)
        requested = tiling.requested(options.tile, options.tile_overlap, self.pixels)
        return tile_boxes([whole_span(1)], *requested.windows(size))


def prior_diffuser(
    denoiser: LoadedNetwork, schedule: Schedule | None = None, *, pixels: int = 8
) -> LatentDiffuser:
    """Returns the image diffuser `prior`: the video's UNet on one frame, without its ControlNet.

    No parameters are copied. A denoiser of 8-bit integers serves as well.

    Args:
      denoiser: UNet and ControlNet of VEnhancer or GenVE.
      schedule: noise levels of the denoiser, by default those of the published prior.
      pixels: rows and columns of pixels for each latent.
    """
    network = denoiser.network
    config = denoiser.config
    remainder, modulus = config.rows_modulus
    prior = _PriorNetwork(network.build, network.graph, network.leaves)
    return LatentDiffuser(
        denoiser=LoadedNetwork(config, prior, denoiser.params),
        schedule=schedule or cosine_interpolated_schedule(),
        width=config.width,
        moduli=((remainder, modulus), (0, modulus)),
        pixels=pixels,
    )


class _PriorNetwork(FunctionalModule):
    """The denoiser of a video, whose ControlNet adds nothing.

    The whole denoiser is bound, as integers are multiplied in calls of its methods only; the
    compiler drops parameters of the ControlNet.
    """

    def bind(self, params: Params) -> Any:
        return _Prior(super().bind(params))


class _Prior(nnx.Module):
    def __init__(self, controlled: ControlledUNet):
        self.controlled = controlled

    def with_features(
        self,
        x: jax.Array,
        t: jax.Array,
        text: Text,
        conditions: Mapping[str, jax.Array | None],
        *,
        control: None = None,
        deep: jax.Array | None = None,
    ) -> tuple[jax.Array, None, jax.Array]:
        """Predicts v; arguments and result are those of `ControlledUNet.with_features`."""
        del control
        keys = text_for(text, "controlled")
        v, _, deep = self.controlled.with_features(x, t, keys, conditions, control=(), deep=deep)
        return v, None, deep


class _Unconditioned:
    """Conditions of an image diffuser: none but the text."""

    def for_windows(self, boxes: Sequence[Box]) -> dict[str, jax.Array]:
        del boxes
        return {}
