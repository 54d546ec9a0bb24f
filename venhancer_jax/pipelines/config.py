"""The keys that every enhancement config has."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict, config_dict

from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import EnhanceOptions, parse_fps
from venhancer_jax.sharding.mesh import inference_mesh


def enhancement_config() -> ConfigDict:
    """All keys with their defaults; a config file changes some and locks it."""
    config = ConfigDict()
    # A video, or a folder of videos; where the results go.
    config.input = ""
    config.output = ""
    config.start_time = 0.0  # seconds
    config.max_frames = config_dict.placeholder(int)  # of the input
    # What the video shows: text, a file with a line for each video, or the name of the video.
    config.prompt = "a good video"
    config.prompt_file = ""
    config.name_as_prompt = False
    config.negative_prompt = config_dict.placeholder(str)
    # Size and rate of the output. (height, width) goes before the scale.
    config.up_scale = 4.0
    config.target_size = config_dict.placeholder(tuple)
    config.target_fps = config_dict.placeholder(str)  # 60, 23.976, 30000/1001
    # How it is sampled.
    config.noise_aug = 200
    config.solver = "dpmpp_2m_sde"
    config.solver_mode = "fast"
    config.steps = 15
    config.noise_levels = 900  # of 1,000: how much noise the process starts from
    config.start_noise = 1.0  # 0 for models that enhance in one step
    config.interpolation = "previous"  # or flow: what frames between key frames start from
    config.guidance_scale = 7.5
    config.guidance_rescale = 0.2
    # Cheaper steps: time steps with guidance, and how often a part is computed anew (1: always).
    config.guidance_interval = (0, 999)
    config.guidance_reuse = 1
    config.controlnet_reuse = 1
    config.deep_reuse = 1
    config.window = 32
    config.seed = 666
    config.compat = "default"
    # `demo`: the small model of the package. `venhancer`: the published weights, v1 or v2.
    config.preset = "venhancer"
    config.version = "v2"
    # Weights: folder, file, Hugging Face id or URL. Empty: the preset's own. A model without text
    # has the text checkpoint `none`.
    config.checkpoint = ""
    config.vae_checkpoint = ""
    config.text_checkpoint = ""
    config.dtype = "auto"
    config.weights = "full"  # or int8: a denoiser of 8-bit integers, needs the extra int8
    # Few shapes for many clips, so that less is compiled; and where that is kept, also gs://.
    config.shape_buckets = False
    config.compilation_cache = ""
    config.compile_effort = 0.0  # down to -1: compiles in a quarter of the time, may run slower
    # Devices along each axis: `data` (guidance pair and windows), `fsdp` (parameters), `rows` of
    # each frame, and the rest for `context` (frames). 0: as many as the guidance pair can use.
    config.mesh = ConfigDict({"data": 0, "fsdp": 1, "rows": 1})
    config.distributed = False  # several hosts: TPU pods, Slurm
    # Several processes elsewhere: `host:port` of the first, this one's number, how many there are.
    config.coordinator = ""
    config.process_id = 0
    config.process_count = 1
    # How it is written.
    config.codec = "h264"
    config.quality = 0.75
    return config


def check_keys(config: ConfigDict) -> None:
    """Asks for every key of `enhancement_config`.

    Raises:
      InputError: some are not there.
    """
    missing = sorted(set(enhancement_config()) - set(config))
    if missing:
        raise InputError(f"the config lacks {', '.join(missing)}: start from enhancement_config()")


def options_of(config: ConfigDict, prompt: str) -> EnhanceOptions:
    """The checked options of a config.

    Raises:
      InputError: a value is out of range.
    """
    names = (
        "up_scale", "negative_prompt", "noise_aug", "solver", "solver_mode", "steps",
        "noise_levels", "start_noise", "guidance_scale", "guidance_rescale", "guidance_interval",
        "guidance_reuse", "controlnet_reuse", "deep_reuse", "window", "seed", "compat",
        "interpolation", "shape_buckets",
    )  # fmt: skip
    values: dict[str, Any] = {name: config[name] for name in names}
    return EnhanceOptions(
        prompt=prompt,
        target_size=_size(config.target_size),
        target_fps=_rate(config.target_fps),
        **values,
    )


def mesh_of(config: ConfigDict, devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh that a config asks for.

    Args:
      config: of `enhancement_config`.
      devices: by default all there are.

    Raises:
      InputError: the sizes do not use all devices.
    """
    videos = 1 if config.guidance_scale == 1 else 2
    return inference_mesh(devices, dict(config.mesh), videos=videos)


def _size(value: tuple | None) -> tuple[int, int] | None:
    if value is None:
        return None
    if len(value) != 2 or not all(isinstance(side, int) for side in value):
        raise InputError(f"target_size {value}: expected two whole numbers, height and width")
    return value[0], value[1]


def _rate(value: str | None) -> Fraction | None:
    return None if value in (None, "") else parse_fps(str(value))
