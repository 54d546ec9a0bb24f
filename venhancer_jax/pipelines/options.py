"""Settings that the enhancement of all systems shares, checked before anything is loaded."""

import dataclasses
import numbers
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from venhancer_jax.errors import InputError
from venhancer_jax.settings import (
    choice,
    flag,
    normalise,
    number,
    parsed,
    table,
    text,
    whole,
    whole_pair,
)
from venhancer_jax.video.colour.colour_fix import COLOURS
from venhancer_jax.video.colour.output_format import HDR_MODES
from venhancer_jax.video.reading.bars import BARS
from venhancer_jax.video.reading.deinterlace import DEINTERLACE
from venhancer_jax.video.timing import MAX_FPS
from venhancer_jax.video.writing.codec_options import parse_codec_options

COMPATS = ("default", "official")
DTYPES = ("auto", "float32", "bfloat16", "float16")
WEIGHTS = ("full", "int8")
MAX_SCALE = 8.0
LAST_TIME = 999
MAX_REUSE = 1000
LEAST_TILE = 16
PIXELS_OF_4K = 3840 * 2160

FILES = "input and output"
SIZE = "size and rate"
LOOK = "look"
NETWORKS = "weights"
SPEED = "speed"
DEVICES = "devices"


def parse_fps(value: str | float | Fraction, name: str = "target_fps") -> Fraction:
    """Parses a frame rate: 24, 23.976 (meant as 24000/1001), "30000/1001".

    Args:
      value: frames per second.
      name: name of the value in error messages.

    Raises:
      InputError: not a positive number.
    """
    try:
        # A float is meant as its shortest decimal.
        is_float = isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational)
        rate = Fraction(str(value) if is_float else value)
    except (ValueError, TypeError, ZeroDivisionError):
        rate = Fraction(0)
    if isinstance(value, bool) or not 0 < rate <= MAX_FPS:
        raise InputError(
            f"{name} {value!r}: expected a number such as 24, 59.94 or 30000/1001,"
            f" at most {MAX_FPS}"
        )
    ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    near_ntsc = ntsc > 0 and rate.denominator != 1 and abs(rate - ntsc) < Fraction(1, 200)
    return ntsc if near_ntsc else rate


def parse_tile(value: Any) -> str | int:
    """Parses a size of tiles: auto, none, or a number of pixels.

    Raises:
      ValueError: another word, or fewer pixels than a tile may have.
    """
    if value in ("auto", "none"):
        return value
    if not isinstance(value, bool) and str(value).isdigit() and int(value) >= LEAST_TILE:
        return int(value)
    raise ValueError(f"expected auto, none, or a whole number of at least {LEAST_TILE} pixels")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnhanceOptions:
    """Enhancement of a clip: size, rate, prompt, sampling. Each system adds options of its own.

    The meaning of each field is its help text (`python sample.py --help`).

    Raises:
      InputError: a value has the wrong type or is out of range.
    """

    up_scale: float = number(
        4.0, low=1 / 16, high=MAX_SCALE, group=SIZE, about="enlargement of both sides"
    )
    target_size: tuple[int, int] | None = whole_pair(
        None, low=16, high=16384, names=("height", "width"), group=SIZE,
        about="exact size of the output in pixels, in place of up_scale",
    )  # fmt: skip
    allow_beyond_4k: bool = flag(
        False, group=SIZE, about="allow an output of more pixels than 3840x2160"
    )
    target_fps: Fraction | None = parsed(
        None, parse_fps, kind="rate", group=SIZE,
        about="frames per second of the output: 24, 59.94, 30000/1001; in place of fps_scale",
    )  # fmt: skip
    fps_scale: float = number(
        1.0,
        low=1 / 16,
        high=16,
        group=SIZE,
        about="frames per second of the output over the input's",
    )
    prompt: str = text(
        "a good video", group=LOOK,
        about="what the video shows; a file NAME.txt beside NAME.mp4 has precedence",
    )  # fmt: skip
    negative_prompt: str | None = text(
        None, group=LOOK, about="what the video should not look like; by default a list of faults"
    )
    solver: str = choice(
        "ddim", ("ddim",), group=LOOK, about="method that steps from noise to video"
    )
    steps: int = whole(15, low=1, high=1000, group=LOOK, about="steps of the solver")
    guidance_scale: float = number(
        7.5, low=0, high=100, group=LOOK, about="how strongly the prompt is followed; 1 is off"
    )
    seed: int = whole(666, low=0, high=2**32 - 1, group=LOOK, about="seed of all noise")
    fidelity: float = number(
        0.0, low=0, high=1, group=LOOK,
        about="share of the input in the coarse picture; 0 is free, 1 holds it at every step",
    )  # fmt: skip
    colour: str = choice(
        "none", COLOURS, group=LOOK,
        about="how the colours of the input are given to the output; lab leaves contrast alone",
    )  # fmt: skip
    grain: float = number(
        0.0, low=0, high=1, group=LOOK,
        about="share of the input's film grain or noise that the output gets, as new grain",
    )  # fmt: skip
    compat: str = choice(
        "default", COMPATS, group=LOOK,
        about="official repeats the published program with its quirks",
    )  # fmt: skip
    window: int = whole(
        32, low=2, high=1000, group=SPEED, about="frames that are denoised together"
    )
    segment_windows: int = whole(
        2, low=0, high=10_000, group=SPEED,
        about="windows that are finished together; 0 joins all of a scene at every step",
    )  # fmt: skip

    def __post_init__(self):
        normalise(self)

    @property
    def files(self) -> tuple[Path, ...]:
        """Returns the files that results follow from besides the input."""
        return ()

    def part(self, first: int) -> Self:
        """Returns the options of a part of the clip.

        Args:
          first: first frame of the part.
        """
        del first
        return self

    def check_output_size(self, height: int, width: int) -> None:
        """Checks that an output beyond 4K is requested by name.

        Raises:
          InputError: more pixels than 4K has, without `allow_beyond_4k`.
        """
        if height * width > PIXELS_OF_4K and not self.allow_beyond_4k:
            raise InputError(
                f"an output of {height}x{width} (height x width) has more pixels than 4K"
                " (2160x3840); set allow_beyond_4k=True if that is meant, or lower up_scale or"
                " target_size"
            )

    def output_rate(self, rate: Fraction) -> Fraction:
        """Returns the frames per second of the output for an input of `rate`.

        Raises:
          InputError: more frames per second than a video can have.
        """
        found = self.target_fps or rate * Fraction(self.fps_scale).limit_denominator(1000)
        if found > MAX_FPS:
            raise InputError(
                f"fps_scale {self.fps_scale:g}: {float(found):g} frames per second from"
                f" {float(rate):g}; expected at most {MAX_FPS}"
            )
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidedOptions(EnhanceOptions):
    """Enhancement by a diffusion network: what guidance does, and what steps reuse.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    guidance_rescale: float = number(
        0.2, low=0, high=1, group=LOOK,
        about="share of the contrast added by guidance that is removed again",
    )  # fmt: skip
    guidance_interval: tuple[int, int] = whole_pair(
        (0, LAST_TIME), low=0, high=LAST_TIME, names=("first", "last"), group=SPEED,
        about="time steps with guidance; others take half the work (arXiv 2404.07724)",
    )  # fmt: skip
    guidance_reuse: int = whole(
        1, low=1, high=MAX_REUSE, group=SPEED,
        about="the guidance difference is computed in every k-th step; 1 is off",
    )  # fmt: skip
    deep_reuse: int = whole(
        1, low=1, high=MAX_REUSE, group=SPEED,
        about="levels below the first are computed in every k-th step (arXiv 2312.00858); 1 is off",
    )  # fmt: skip

    window_overlap: int | None = whole(
        None, low=0, high=999, group=SPEED,
        about="least number of frames that windows share; by default what hides their borders",
    )  # fmt: skip
    tile: str | int = parsed(
        "auto", parse_tile, kind="side", group=SPEED,
        about="side of the tiles of a frame of the output; auto cuts what is large for the memory",
    )  # fmt: skip
    tile_overlap: int | None = whole(
        None, low=0, high=4096, group=SPEED,
        about="pixels that a tile sees beyond its sides; by default what hides its borders",
    )  # fmt: skip
    decode_chunk: int | None = whole(
        None, low=1, high=1000, group=SPEED,
        about="frames that are decoded together; by default what the decoder needs",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.window_overlap is not None and self.window_overlap >= self.window:
            raise InputError(
                f"window_overlap {self.window_overlap}: expected less than window, {self.window}"
            )
        if self.guidance_interval[0] > self.guidance_interval[1]:
            raise InputError(
                f"guidance_interval {self.guidance_interval}: expected the lower time step first"
            )

    @property
    def guided(self) -> bool:
        """Returns whether the negative prompt is used."""
        return self.guidance_scale != 1

    @property
    def control_reuse(self) -> int:
        """Returns in every how many steps the features of a ControlNet are computed."""
        return 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Videos to read and how results are written."""

    input: str = text("", group=FILES, about="a video or picture, or a folder of them", opens=True)
    output: str = text(
        "", group=FILES, about="a video, or a folder; by default results/", opens=True
    )
    picture_fps: float = number(
        24.0, low=0.01, high=1000, group=FILES,
        about="frames per second of a folder of numbered pictures",
    )  # fmt: skip
    start_time: float = number(
        0.0, low=0, high=1e6, group=FILES, about="seconds of the input to skip"
    )
    max_frames: int | None = whole(
        None, low=1, high=2**31, group=FILES, about="frames of the input to enhance at most"
    )
    allow_damaged: bool = flag(
        False, group=FILES, about="enhance what can be read of a damaged or short video"
    )
    bars: str = choice(
        "keep", BARS, group=FILES, about="black bars around the picture: enhanced too, or cropped"
    )
    deinterlace: str = choice(
        "auto", DEINTERLACE, group=FILES,
        about="whole pictures from interlaced ones: auto where the input is marked so, on, off",
    )  # fmt: skip
    prompt_file: str = text(
        "", group=FILES, about="text file with a prompt per video, a line each", opens=True
    )
    name_as_prompt: bool = flag(
        False, group=FILES, about="use the name of each video as its prompt"
    )
    captioner: str = text(
        "", group=FILES, opens=True,
        about="MODULE:FUNCTION from the first frame to the prompt of a video whose prompt is empty",
    )  # fmt: skip
    cuts: str = text(
        "auto", group=FILES, opens=True,
        about="where scenes begin: auto, none, or a file with one cut a line",
    )  # fmt: skip
    duplicates: str = choice(
        "keep", ("keep", "drop"), group=FILES,
        about="frames that repeat the one before, as in telecined video; drop fills in new ones",
    )  # fmt: skip
    restart: bool = flag(
        False, group=FILES, about="discard what an interrupted run finished, and begin again"
    )
    report: bool = flag(
        False, group=FILES,
        about="write OUT.mp4.html, a page that compares input and output, and an index of a folder",
    )  # fmt: skip
    share: bool = flag(
        False, group=FILES,
        about="divide a folder between runs: take what no other run has claimed or finished",
    )  # fmt: skip
    codec: str = choice(
        "h264", ("h264", "h265", "av1", "prores", "ffv1", "png", "exr"), group=FILES,
        about="encoding of the output; png and exr write a folder of images",
    )  # fmt: skip
    quality: float = number(
        0.75, low=0, high=1, group=FILES, about="1 is visually lossless, 0 is small"
    )
    codec_options: str = parsed(
        "", parse_codec_options, kind="text", group=FILES, opens=True,
        about="options of FFmpeg's encoder: crf=20:preset=slow",
    )  # fmt: skip
    pixel_format: str = text(
        "auto", group=FILES,
        about="samples of the output, such as yuv420p10le; auto is like the input",
    )  # fmt: skip
    hdr: str = choice(
        "keep", HDR_MODES, group=FILES,
        about="PQ and HLG stay, or sdr, become BT.709 of ordinary brightness",
    )  # fmt: skip

    def __post_init__(self):
        normalise(self)
        if self.share and self.restart:
            raise InputError(
                "restart=True discards what runs that share a folder have finished: remove the"
                " outputs to begin again, and set share=True alone"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightOptions:
    """Networks and their numbers. Each system adds its checkpoints."""

    preset: str = choice("", ("",), group=NETWORKS, about="sizes of the networks")
    dtype: str = choice(
        "auto", DTYPES, group=NETWORKS,
        about="type of weights and activations; auto is float32 on a CPU, bfloat16 elsewhere",
    )  # fmt: skip

    def __post_init__(self):
        normalise(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """Devices of an enhancement."""

    mesh: dict[str, int] = table(
        {"data": 0, "fsdp": 1, "rows": 1}, group=DEVICES,
        about={
            "data": "devices for guidance pair and windows; 0 is as many as the pair can use",
            "fsdp": "devices that parameters are split over",
            "rows": "devices that the rows of each frame are split over, for 2K on small chips",
        },
    )  # fmt: skip

    def __post_init__(self):
        normalise(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """Processes and compilation of an enhancement or a training."""

    distributed: bool = flag(False, group=DEVICES, about="several hosts: TPU pods, Slurm")
    coordinator: str = text(
        "", group=DEVICES, opens=True,
        about="host:port of the first process, without a pod or Slurm",
    )  # fmt: skip
    process_id: int = whole(0, low=0, high=2**20, group=DEVICES, about="index of this process")
    process_count: int = whole(1, low=1, high=2**20, group=DEVICES, about="number of processes")
    compilation_cache: str = text(
        "", group=DEVICES, opens=True,
        about="folder of compiled programs, also gs://; by default the user's",
    )  # fmt: skip
    compile_effort: float = number(
        0.0, low=-1, high=1, group=DEVICES, about="-1 compiles sooner on TPU, may run slower"
    )

    def __post_init__(self):
        normalise(self)
