"""Training configs: their keys are the fields of `TrainOptions` and `ProcessOptions`."""

import dataclasses
import sys
from typing import Any

from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.models.remat import REMATS
from venhancer_jax.pipelines.options import DEVICES, DTYPES, ProcessOptions, parse_fps
from venhancer_jax.pipelines.registry import DEFAULT_SYSTEM
from venhancer_jax.settings import (
    add_to_config,
    choice,
    flag,
    from_config,
    normalise,
    number,
    parsed,
    table,
    whole,
)
from venhancer_jax.settings import text as string

STARTS = ("prior", "published")
# Keys that configs of earlier versions lack.
_LATER = ("system", "start", "max_skipped", "discriminator", "reference")
_MODEL, _LOSS, _DATA = "networks", "objective", "data and augmentation"
_OPTIMIZER, _OUTPUT, _VALIDATION = "optimizer", "logs and checkpoints", "validation and profile"
_MANY = 2**31


def _checked_rate(value: Any) -> Any:
    parse_fps(value)
    return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Settings of a training run; the meaning of each is its help text.

    Raises:
      InputError: a value has the wrong type or is out of range.
    """

    seed: int = whole(0, low=0, high=2**32 - 1, group=_OPTIMIZER, about="seed of all randomness")
    system: str = string(DEFAULT_SYSTEM, group=_MODEL, about="system whose networks train")
    objective: str = string("diffusion", group=_LOSS,
        about="what is learned: diffusion (the paper's), or another objective of the system:"
        " one_step, autoencoder (the VAE), decoder (its temporal layers)",
    )  # fmt: skip
    preset: str = string("tiny", group=_MODEL,
        about="sizes of networks without a weight folder, such as debug",
    )  # fmt: skip
    prior: str = string(
        "", group=_MODEL, about="weight folder of the denoiser; empty: fresh weights"
    )
    vae: str = string("", group=_MODEL, about="weight folder of the VAE; empty: fresh weights")
    text: str = string(
        "", group=_MODEL, about="weight folder of the text encoder; empty: fresh weights"
    )
    trainable: str = choice(
        "controlnet", ("controlnet", "added", "all"), group=_MODEL,
        about="parameters that train; added: layers that the system adds to an image network",
    )  # fmt: skip
    start: str = choice(
        "prior", STARTS, group=_MODEL, old_name="copy_prior",
        about="published: all weights of config.prior; prior: its image layers only, where a"
        " ControlNet starts as their copy, and whatever else the system adds starts silent",
    )  # fmt: skip
    dtype: str = choice(
        "auto", DTYPES, group=_MODEL,
        about="type of activations; parameters that train are float32",
    )  # fmt: skip
    remat: str = choice(
        "none", REMATS, group=_MODEL, about="what a gradient computes again instead of storing"
    )
    loss: dict[str, float] = table(
        {"latent": 1.0, "pixel": 1.0, "perceptual": 0.0, "kl": 1e-6, "adversarial": 0.0},
        group=_LOSS,
        about={
            "latent": "weight of the absolute error of latents (one_step)",
            "pixel": "weight of the absolute error of frames (one_step, autoencoder, decoder)",
            "perceptual": "weight of LPIPS (one_step, autoencoder, decoder)",
            "kl": "weight of the KL divergence of latents (autoencoder)",
            "adversarial": "weight of the discriminator's verdict (decoder)",
        },
    )  # fmt: skip
    discriminator: dict[str, Any] = table(
        {"width": 64, "learning_rate": 1e-4}, group=_LOSS,
        about={
            "width": "channels of the first convolution (decoder)",
            "learning_rate": "learning rate after the warm-up (decoder)",
        },
    )  # fmt: skip
    reference: dict[str, Any] = table(
        {
            "fusion": "local",
            "neighbours": 4,
            "radius": 0.0,
            "noise": True,
            "temporal": True,
            "mask": 0.5,
            "dropout": 0.1,
        },
        group=_LOSS,
        about={
            "fusion": "attention to the reference (genve): none, cross, or local, which prefers"
            " near patches and shuffles them",
            "neighbours": "rows and columns of the windows of patches that are shuffled, and the"
            " reach of the local preference (genve)",
            "radius": "patches beyond which none is attended to (genve); 0: no limit",
            "noise": "add the video's level of noise to the reference (genve)",
            "temporal": "warp the reference to each frame (genve)",
            "mask": "largest share of masked patches of the reference (genve); 0: none",
            "dropout": "share of clips without a reference (genve)",
        },
    )  # fmt: skip
    one_step_start: int = whole(
        80, low=0, high=999, group=_LOSS, about="time step that one_step starts from"
    )
    data: str = string("synthetic", group=_DATA,
        about="a prepared data set, a folder of videos or of latents, or synthetic",
    )  # fmt: skip
    workers: int = whole(
        0, low=0, high=1024, group=_DATA, about="processes that decode; 0 is a thread"
    )
    batch: int = whole(
        4, low=1, high=_MANY, group=_DATA, about="clips of a step, of all processes together"
    )
    frames: int = whole(9, low=1, high=1000, group=_DATA, about="frames of a clip")
    height: int = whole(64, low=8, high=16384, group=_DATA, about="rows of a frame, in pixels")
    width: int = whole(64, low=8, high=16384, group=_DATA, about="columns of a frame, in pixels")
    fps: str | None = parsed(
        None, _checked_rate, kind="rate", group=_DATA,
        about="frames per second, reached by dropping frames; by default that of each clip",
    )  # fmt: skip
    augment: dict[str, Any] = table(
        {
            "shrink": True,
            "strides": tuple(range(1, 9)),
            "scales": tuple(float(s) for s in range(1, 9)),
            "enlarge": True,
            "interpolation": "previous",
            "down": "bilinear",
            "up": "bilinear",
            "noise_levels": (1, 300),
            "text_dropout": 0.1,
            "real_world": 0.0,
        },
        group=_DATA,
        about={
            "shrink": "shrink clips to the size of an example first, instead of cropping only",
            "strides": "frames from a key frame to the next, drawn in proportion to their values",
            "scales": "enlargements, drawn in proportion to their values",
            "enlarge": "enlarge the low-quality clip to the size of the example",
            "interpolation": "frames between key frames: previous (key frame) or flow",
            "down": "kernel that shrinks: bilinear, bicubic or area",
            "up": "kernel that enlarges again: bilinear, bicubic or area",
            "noise_levels": "least and largest time step, from 1, of the noise on the input",
            "text_dropout": "share of examples with an empty prompt",
            "real_world": "share of examples with real-world degradations",
        },
    )
    steps: int = whole(1000, low=0, high=_MANY, group=_OPTIMIZER, about="steps of the run")
    learning_rate: float = number(
        1e-5, low=0, high=1e3, group=_OPTIMIZER, about="learning rate after the warm-up"
    )
    warmup_steps: int = whole(
        100, low=0, high=_MANY, group=_OPTIMIZER,
        about="updates in which the learning rate rises from zero",
    )  # fmt: skip
    clip_norm: float = number(
        1.0, low=0, high=1e30, group=_OPTIMIZER, about="largest global norm of a gradient"
    )
    weight_decay: float = number(
        0.01, low=0, high=1e3, group=_OPTIMIZER, about="decoupled weight decay"
    )
    accumulate: int = whole(
        1, low=1, high=2**20, group=_OPTIMIZER, about="steps whose gradients make one update"
    )
    cosine_decay: bool = flag(
        False, group=_OPTIMIZER, about="lower the learning rate to zero at the last step"
    )
    ema_decay: float = number(
        0.9999, low=0, high=1 - 1e-9, group=_OPTIMIZER,
        about="decay of the average of the parameters, per update",
    )  # fmt: skip
    max_skipped: int = whole(
        10, low=1, high=_MANY, group=_OPTIMIZER,
        about="steps in a row without finite numbers, after which the run stops",
    )  # fmt: skip
    mesh: dict[str, int] = table(
        {"data": -1, "fsdp": 1, "context": 1}, group=DEVICES,
        about={
            "data": "devices that the batch is split over; -1 is the rest",
            "fsdp": "devices that batch, parameters and optimizer are split over",
            "context": "devices that the frames of a clip are split over",
        },
    )  # fmt: skip
    peak_tflops: float = number(
        0.0, low=0, high=1e6, group=DEVICES,
        about="peak of one device, for the mfu; 0: looked up by the device's name",
    )  # fmt: skip
    log_every: int = whole(
        50, low=1, high=_MANY, group=_OUTPUT, about="steps whose mean metrics make one line"
    )
    save_every: int = whole(
        1000, low=1, high=_MANY, group=_OUTPUT, about="steps from a checkpoint to the next"
    )
    keep: int = whole(3, low=1, high=_MANY, group=_OUTPUT, about="latest checkpoints to keep")
    keep_every: int | None = whole(
        None, low=1, high=_MANY, group=_OUTPUT,
        about="steps whose multiples keep their checkpoints for good",
    )  # fmt: skip
    weights_dtype: str = choice(
        "float32", ("float32", "float16", "bfloat16"), group=_OUTPUT,
        about="type of the weight folder that the run ends with",
    )  # fmt: skip
    validate_every: int = whole(
        0, low=0, high=_MANY, group=_VALIDATION, about="steps between validations; 0: none"
    )
    validate_data: str = string(
        "", group=_VALIDATION, about="data for validation, as config.data; empty: none"
    )
    validate_clips: int = whole(
        4, low=1, high=_MANY, group=_VALIDATION, about="clips of a validation, at least"
    )
    validate_steps: int = whole(
        15, low=1, high=1000, group=_VALIDATION, about="steps of the sampler, for pictures"
    )
    profile_from: int = whole(
        0, low=0, high=_MANY, group=_VALIDATION, about="first step of a profile; 0: none"
    )
    profile_steps: int = whole(
        3, low=1, high=_MANY, group=_VALIDATION, about="number of steps of the profile"
    )

    def __post_init__(self):
        normalise(self)


# Dataclasses whose fields are the keys of a training config.
TRAIN_SETTINGS = (TrainOptions, ProcessOptions)


def training_config() -> ConfigDict:
    """Returns all keys with their defaults, for a config file to change and lock."""
    config = ConfigDict()
    for settings in TRAIN_SETTINGS:
        add_to_config(config, settings)
    return config


def checked_config(config: ConfigDict) -> ConfigDict:
    """Returns a config with checked values; old keys get their present names and values.

    Args:
      config: keys of `training_config`, some of them changed.

    Raises:
      InputError: a key is missing or unknown, or a value is wrong.
    """
    checked = config.copy_and_resolve_references().unlock()
    if "copy_prior" in checked:
        checked.start = "prior" if checked.copy_prior else "published"
        print(f"note: config.copy_prior is now config.start={checked.start}", file=sys.stderr)
        del checked.copy_prior
    for key, default in training_config().items():
        if key in _LATER and key not in checked:
            checked[key] = default
        if key not in checked:
            raise InputError(f"the config lacks {key}: start from training_config()")
    if unknown := sorted(set(checked) - set(training_config())):
        raise InputError(f"config.{unknown[0]}: no such setting of a training")
    for settings in TRAIN_SETTINGS:
        from_config(settings, checked)
    return checked.lock()
