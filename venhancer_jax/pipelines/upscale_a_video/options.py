"""Options of Upscale-A-Video."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import (
    LOOK,
    NETWORKS,
    SPEED,
    WEIGHTS,
    GuidedOptions,
    WeightOptions,
    parse_tile,
)
from venhancer_jax.pipelines.upscale_a_video.compat import COMPATS, Compat
from venhancer_jax.settings import choice, flag, number, parsed, text, whole

MAX_NOISE_LEVEL = 350
FLOWS = ("raft", "dis", "none")


def parse_steps(value: Any) -> tuple[int, ...]:
    """Parses indices of steps: "24,26,28", 24, (24, 26).

    Raises:
      ValueError: not a list of whole numbers.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    items = list(value) if isinstance(value, Iterable) else [value]
    try:
        steps = [int(str(item)) for item in items if not isinstance(item, bool)]
    except ValueError:
        steps = []
    if len(steps) != len(items) or any(step < 0 for step in steps):
        raise ValueError("expected indices of steps from 0, such as 24,26,28")
    return tuple(sorted(set(steps)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpscaleAVideoOptions(GuidedOptions):
    """Options of an enhancement by Upscale-A-Video.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    prompt: str = text(
        "", group=LOOK,
        about="what the video shows; a file NAME.txt beside NAME.mp4 has precedence",
    )  # fmt: skip
    a_prompt: str = text(
        "best quality, extremely detailed", group=LOOK, about="text that is added to every prompt"
    )
    steps: int = whole(30, low=1, high=999, group=LOOK, about="steps of the solver")
    guidance_scale: float = number(
        6.0, low=0, high=100, group=LOOK, about="how strongly the prompt is followed; 1 is off"
    )
    guidance_rescale: float = number(
        0.0, low=0, high=1, group=LOOK,
        about="share of the contrast added by guidance that is removed again",
    )  # fmt: skip
    seed: int = whole(10, low=0, high=2**32 - 1, group=LOOK, about="seed of all noise")
    noise_level: int = whole(
        120, low=0, high=MAX_NOISE_LEVEL, group=LOOK,
        about="noise on the input: 0 keeps its look, more invents more details",
    )  # fmt: skip
    propagation_steps: tuple[int, ...] = parsed(
        (), parse_steps, kind="indices", group=LOOK,
        about="steps after which details are carried along the optical flow, such as 24,26,28",
    )  # fmt: skip
    flow: str = choice(
        "raft", FLOWS, group=LOOK, about="optical flow for propagation_steps; dis needs no weights"
    )
    window: int = whole(8, low=2, high=1000, group=SPEED, about="frames that are denoised together")
    window_overlap: int = whole(
        2, low=0, high=999, group=SPEED, about="least number of frames that windows share"
    )
    tile: str | int = parsed(
        "auto", parse_tile, kind="side", group=SPEED,
        about="side of the tiles of an input frame; auto is 256 for 384x384 pixels and more",
    )  # fmt: skip
    tile_overlap: int = whole(
        64, low=0, high=4096, group=SPEED,
        about="pixels of the input that a tile sees beyond its sides",
    )  # fmt: skip
    decode_chunk: int = whole(
        3, low=1, high=1000, group=SPEED, about="frames that are decoded together"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.propagation_steps and self.propagation_steps[-1] >= self.steps:
            raise InputError(
                f"propagation_steps {self.propagation_steps[-1]}: expected indices from 0 to"
                f" {self.steps - 1}, since steps is {self.steps}"
            )
        if self.propagation_steps and self.flow == "none":
            raise InputError(
                "flow 'none': expected raft or dis with propagation_steps; dis needs no weights"
            )

    @property
    def guided(self) -> bool:
        """Returns whether the negative prompt is used."""
        if self.quirks.guide_above_one:
            return self.guidance_scale > 1
        return super().guided

    @property
    def quirks(self) -> Compat:
        """Returns the choices that follow from `compat`."""
        return COMPATS[self.compat]


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpscaleAVideoWeights(WeightOptions):
    """Networks of Upscale-A-Video: UNet, VAE, text encoder and optical flow."""

    preset: str = choice(
        "upscale_a_video", ("upscale_a_video", "tiny", "debug"), group=NETWORKS,
        about="sizes of the networks; upscale_a_video has those of the published ones",
    )  # fmt: skip
    checkpoint: str = text(
        "", group=NETWORKS, opens=True,
        about="folder of all published networks, or the UNet alone",
    )  # fmt: skip
    vae_checkpoint: str = text("", group=NETWORKS, about="VAE: folder, file, id or URL", opens=True)
    text_checkpoint: str = text(
        "", group=NETWORKS, about="text encoder: folder, file, id or URL", opens=True
    )
    flow_checkpoint: str = text(
        "", group=NETWORKS, about="RAFT: folder, file, id or URL", opens=True
    )
    video_vae: bool = flag(
        False, group=NETWORKS, about="use the decoder that sees the input, steadier but slower"
    )
    weights: str = choice(
        "full", WEIGHTS, group=NETWORKS, about="int8 computes the denoiser in 8-bit integers"
    )
