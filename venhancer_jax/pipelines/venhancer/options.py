"""Options of VEnhancer."""

import dataclasses

from venhancer_jax.diffusion.timesteps import FAST_LEAST_LEVELS, MODES, Mode
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.options import (
    LAST_TIME,
    LOOK,
    MAX_REUSE,
    NETWORKS,
    SPEED,
    WEIGHTS,
    GuidedOptions,
    WeightOptions,
)
from venhancer_jax.pipelines.venhancer.compat import COMPATS, Compat
from venhancer_jax.settings import choice, flag, number, text, whole, whole_pair
from venhancer_jax.video.motion import FRAME_INTERPOLATIONS, FrameInterpolation

SOLVERS = ("dpmpp_2m_sde", "heun", "ddim")
MAX_NOISE_AUG = 300
# Names of the published denoisers by `version`.
PUBLISHED = {"v1": "venhancer_v1", "v2": "venhancer_v2"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlledOptions(GuidedOptions):
    """Options of an enhancement by VEnhancer's networks, for the systems that have them.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    noise_aug: int = whole(
        200, low=0, high=MAX_NOISE_AUG, group=LOOK,
        about="noise on the key frames: 0 keeps the input's look, 50 is kind to faces, 300 is free",
    )  # fmt: skip
    solver: str = choice(
        "dpmpp_2m_sde", SOLVERS, group=LOOK, about="method that steps from noise to video"
    )
    solver_mode: Mode = choice(
        "fast", MODES, group=LOOK, about="fast visits 15 fixed times, normal as many as steps"
    )
    steps: int = whole(15, low=1, high=1000, group=LOOK, about="steps of the normal solver_mode")
    noise_levels: int = whole(
        900, low=2, high=1000, group=LOOK, about="levels of the 1,000 that the process starts from"
    )
    start_noise: float = number(
        1.0, low=0, high=1, group=LOOK,
        about="share of the first level's noise at the start; 0 for one-step models",
    )  # fmt: skip
    enlargement: str = choice(
        "bilinear", ("bilinear", "bicubic"), group=LOOK,
        about="resampling that enlarges the input before it is encoded; bicubic is sharper",
    )  # fmt: skip
    controlnet_reuse: int = whole(
        1, low=1, high=MAX_REUSE, group=SPEED,
        about="the ControlNet's features are computed in every k-th step; 1 is off",
    )  # fmt: skip
    shape_buckets: bool = flag(
        False, group=SPEED,
        about="bring clips to few lengths and sizes: less is compiled, results change a little",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.solver_mode == "fast" and self.noise_levels < FAST_LEAST_LEVELS:
            raise InputError(
                f"noise_levels {self.noise_levels}: expected at least {FAST_LEAST_LEVELS} with"
                " solver_mode 'fast'; 'normal' takes fewer"
            )
        if self.solver_mode == "normal" and self.steps >= self.noise_levels:
            raise InputError(
                f"steps {self.steps}: expected fewer than noise_levels, {self.noise_levels}"
            )
        for name in ("guidance_reuse", "controlnet_reuse", "deep_reuse"):
            if getattr(self, name) > 1 and self.solver == "heun":
                raise InputError(
                    f"{name} {getattr(self, name)}: expected 1 with solver 'heun', whose second"
                    " call of a step corrects the first; 'dpmpp_2m_sde' and 'ddim' can reuse"
                )

    @property
    def reuses(self) -> bool:
        """Returns whether any step does less than the whole work."""
        requested = (
            self.guidance_interval,
            self.guidance_reuse,
            self.controlnet_reuse,
            self.deep_reuse,
        )
        return requested != ((0, LAST_TIME), 1, 1, 1)

    @property
    def control_reuse(self) -> int:
        """Returns in every how many steps the features of the ControlNet are computed."""
        return self.controlnet_reuse

    @property
    def quirks(self) -> Compat:
        """Returns the choices that follow from `compat`."""
        return COMPATS[self.compat]

    @property
    def encodes_interpolated(self) -> bool:
        """Returns whether frames between key frames are moved there and encoded."""
        return False


@dataclasses.dataclass(frozen=True, kw_only=True)
class VEnhancerOptions(ControlledOptions):
    """Options of an enhancement by VEnhancer.

    Raises:
      InputError: a value has the wrong type, is out of range, or contradicts another.
    """

    interpolation: FrameInterpolation = choice(
        "previous", FRAME_INTERPOLATIONS, group=LOOK, old_name="between",
        about="start of the frames between key frames: the frame before, or flow, its motion",
    )  # fmt: skip
    official_scale: int = whole(
        8, low=1, high=8, group=LOOK, about="scale condition of compat=official"
    )
    official_pad: tuple[int, int] = whole_pair(
        (720, 1280), low=16, high=16384, names=("height", "width"), group=LOOK,
        about="least padded size of compat=official, in pixels",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.compat != "official":
            return
        if self.interpolation != "previous":
            raise InputError(
                f"interpolation {self.interpolation!r}: compat 'official' knows only 'previous'"
            )
        if self.shape_buckets:
            raise InputError("shape_buckets: compat 'official' repeats the published shapes")
        for name, default in (
            ("enlargement", "bilinear"),
            ("window_overlap", None),
            ("tile", "auto"),
            ("tile_overlap", None),
            ("decode_chunk", None),
        ):
            if getattr(self, name) != default:
                raise InputError(
                    f"{name} {getattr(self, name)}: compat 'official' has the published"
                    f" resampling, windows, tiles and chunks; leave {name}, or use compat 'default'"
                )

    @property
    def encodes_interpolated(self) -> bool:
        """Returns whether frames between key frames are moved there and encoded."""
        return self.interpolation == "flow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlledWeights(WeightOptions):
    """Networks of the systems with VEnhancer's: UNet with ControlNet, VAE and text encoder."""

    checkpoint: str = text(
        "", group=NETWORKS, opens=True,
        about="UNet and ControlNet: folder, file, Hugging Face id or URL",
    )  # fmt: skip
    vae_checkpoint: str = text("", group=NETWORKS, about="VAE: folder, file, id or URL", opens=True)
    text_checkpoint: str = text(
        "", group=NETWORKS, opens=True,
        about="text encoder: folder, file, id or URL; none for a model without",
    )  # fmt: skip
    weights: str = choice(
        "full", WEIGHTS, group=NETWORKS, about="int8 computes the denoiser in 8-bit integers"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VEnhancerWeights(ControlledWeights):
    """Networks of VEnhancer: UNet with ControlNet, VAE and text encoder."""

    preset: str = choice(
        "venhancer", ("demo", "venhancer", "tiny", "debug"), group=NETWORKS,
        about="demo is the small model of the package, venhancer the published one",
    )  # fmt: skip
    version: str = choice("v2", tuple(PUBLISHED), group=NETWORKS, about="published release")
