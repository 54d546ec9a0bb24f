"""Options of GenVE."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Self

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import LAST_TIME, LOOK, NETWORKS
from venhancer_jax.pipelines.venhancer.options import ControlledOptions, ControlledWeights
from venhancer_jax.settings import choice, number, text, whole

MAX_NOISE_AUG = 500
FLOWS = ("raft", "dis")
# Values of `reference` that are not the path of a picture.
REFERENCES = ("prior", "sd21", "none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenVEOptions(ControlledOptions):
    """Options of an enhancement by GenVE.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    noise_aug: int = whole(
        250, low=0, high=MAX_NOISE_AUG, group=LOOK,
        about="noise on the input and on the reference: 0 keeps their look, 500 is free",
    )  # fmt: skip
    compat: str = choice(
        "default", ("default",), group=LOOK, about="there is no published program to repeat"
    )
    reference: str = text(
        "prior", group=LOOK, opens=True,
        about="sharp picture of a key frame: prior or sd21 generate it, none does without; or FILE",
    )  # fmt: skip
    key_frame: int = whole(
        -1, low=-1, high=2**31, group=LOOK,
        about="index of the frame that is sharpened, or that FILE shows; -1 is the middle",
    )  # fmt: skip
    key_every: int = whole(
        0, low=0, high=10_000, group=LOOK,
        about="frames for each key frame; 0 has one key frame for each segment",
    )  # fmt: skip
    image_start: int = whole(
        600, low=1, high=LAST_TIME, group=LOOK,
        about="time step that the key frame is noised to: more invents more details",
    )  # fmt: skip
    image_steps: int = whole(
        30, low=1, high=LAST_TIME, group=LOOK, about="steps that sharpen the key frame"
    )
    image_guidance: float = number(
        7.5, low=0, high=100, group=LOOK,
        about="how strongly the key frame follows the prompt; 1 is off",
    )  # fmt: skip
    flow: str = choice(
        "raft", FLOWS, group=LOOK,
        about="optical flow that carries the key frame to other frames; dis needs no weights",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if not self.reference:
            raise InputError("reference '': expected prior, sd21, none, or the file of a picture")
        if self.image_steps > self.image_start:
            raise InputError(
                f"image_steps {self.image_steps}: expected at most image_start, {self.image_start}"
            )
        if self.key_every and self.key_frame >= 0:
            raise InputError(
                f"key_frame {self.key_frame}: expected -1 with key_every, {self.key_every}, which"
                " has many key frames; set one of both"
            )
        if self.key_every and self.picture:
            raise InputError(
                f"key_every {self.key_every}: expected 0 with the picture {self.reference}, which"
                " shows one frame; 'prior' and 'sd21' sharpen any number"
            )

    @property
    def picture(self) -> Path | None:
        """Returns the file of the reference; None where it is generated, or not used."""
        return None if self.reference in REFERENCES else Path(self.reference)

    @property
    def files(self) -> tuple[Path, ...]:
        """Returns the files that results follow from."""
        return () if self.picture is None else (self.picture,)

    def part(self, first: int) -> Self:
        """Returns the options of a part of the clip.

        Args:
          first: first frame of the part.
        """
        if self.key_frame < 0:
            return self
        return dataclasses.replace(self, key_frame=max(-1, self.key_frame - first))

    def output_rate(self, rate: Fraction) -> Fraction:
        """Returns the frames per second of the output for an input of `rate`.

        Raises:
          InputError: more frames per second than the input has.
        """
        found = super().output_rate(rate)
        if found > rate:
            name = "fps_scale" if self.target_fps is None else "target_fps"
            raise InputError(
                f"{name} {getattr(self, name)}: {float(found):g} frames per second from"
                f" {float(rate):g}; expected at most the input's, since GenVE adds no frames:"
                " system 'venhancer' does"
            )
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenVEWeights(ControlledWeights):
    """Networks of GenVE: VEnhancer's with attention to a reference, and those that make one."""

    preset: str = choice(
        "genve", ("genve", "demo", "tiny", "debug"), group=NETWORKS,
        about="sizes of the networks; demo and genve have those of VEnhancer's",
    )  # fmt: skip
    checkpoint: str = text(
        "", group=NETWORKS, opens=True,
        about="network of a training; with reference=none also VEnhancer's: folder, file, id, name",
    )  # fmt: skip
    image_checkpoint: str = text(
        "", group=NETWORKS, opens=True, about="UNet of reference=sd21: folder, file, id or URL"
    )
    flow_checkpoint: str = text(
        "", group=NETWORKS, opens=True, about="RAFT: folder, file, id or URL"
    )
