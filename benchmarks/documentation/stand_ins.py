"""What stands in for files that the documentation names, and for networks of published size."""

import contextlib
import dataclasses
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.wrong_inputs import upscale_a_video, venhancer
from benchmarks.wrong_inputs.shared import write_checkpoints, write_inputs
from venhancer_jax.assets import demo_clip
from venhancer_jax.video import VideoWriter

_DENOISER, _VAE, _TEXT = "weights/venhancer", "weights/vae", "weights/text"
_RECORDING = "tests/goldens/venhancer/blend_gauss.safetensors"


@dataclasses.dataclass(frozen=True)
class Rule:
    """How commands of a kind are run on one small machine.

    Attributes:
      kind: part of the commands.
      swap: texts that others take the place of.
      add: arguments that are added.
      reason: why such commands are not run, or empty.
    """

    kind: str
    swap: dict[str, str] = dataclasses.field(default_factory=dict)
    add: str = ""
    reason: str = ""

    def applied(self, command: str) -> str:
        """Returns the command that is run."""
        for old, new in self.swap.items():
            command = command.replace(old, new)
        return f"{command} {self.add}".strip()


_CLOUD = "needs a cloud project or a cluster"
_SUITE = "runs all tests"
_SMALL_WEIGHTS = (
    f"--config.checkpoint={_DENOISER} --config.vae_checkpoint={_VAE}"
    f" --config.text_checkpoint={_TEXT} --config.solver_mode=normal --config.steps=1"
    " --config.guidance_scale=1 --config.max_frames=2"
)
_TRAIN = {"configs/train_venhancer.py": "configs/train_debug.py"}
_UPSCALE = {
    "configs/train_upscale_a_video.py": "configs/train_upscale_a_video_debug.py",
    "configs/train_upscale_a_video_decoder.py": "configs/train_upscale_a_video_decoder_debug.py",
    "=RUN/weights": "=upscaler/weights/unet",
    "=WEIGHTS/x4_upscaler": "=upscaler/weights/unet",
    "=WEIGHTS/x4_vae": "=upscaler/weights/vae",
    "=WEIGHTS/x4_text": "=upscaler/weights/text_encoder",
    "100000": "2",
}
_PRIOR = {
    "=WEIGHTS": f"={_DENOISER}",
    "=VAE": f"={_VAE}",
    "=TEXT": f"={_TEXT}",
}
_SMALL_STEP = "--preset=debug --frames=3 --height=10 --width=8 --repeats=1"

# The first rule whose kind is part of a command says how it is run; others are run as they are.
RULES = (
    *(
        Rule(kind, reason=_CLOUD)
        for kind in ("gcloud", "xpk", "on_all", "export ", "gs://", "srun ", "process_id")
    ),
    *(Rule(kind, reason=_SUITE) for kind in ("pytest", ".ci/run", "pre-commit")),
    Rule("-m venv", reason="is what installs what runs here"),
    Rule("pip install", add="--dry-run --quiet"),
    Rule("--plan=", add="--plan_effort=quick"),
    Rule("=configs/venhancer.py", add=_SMALL_WEIGHTS),
    Rule("=configs/upscale_a_video.py", {"=FOLDER": "=upscaler/weights", "24,26,28": "0"},
         "--config.steps=1 --config.max_frames=2"),
    Rule("sample --config=venhancer ...", {"...": f"--config.input=in.mp4 {_SMALL_WEIGHTS}"}),
    Rule("enhance_beam", {"=...": "=configs/venhancer.py", "=DIR": "=VIDEOS", "output=VIDEOS":
         "output=enhanced"}, f"{_SMALL_WEIGHTS} --config.max_frames=2"),
    Rule("train_venhancer", _TRAIN | _PRIOR, "--config.steps=1"),
    Rule("train_upscale_a_video", _UPSCALE, "--config.steps=1"),
    Rule("train_demo", add="--config.steps=1"),
    Rule("evaluate", {"OUT": "in.mp4", "REFERENCE": "in.mp4"}, "--metrics=psnr"),
    Rule("convert.parity FILE", {"FILE_OR_FOLDER...": _RECORDING}),
    Rule("convert.parity recordings", reason="needs the recordings and weights of the reader"),
    Rule("benchmarks.denoise_step", add=_SMALL_STEP),
)  # fmt: skip


def rule_of(command: str) -> Rule:
    """Returns the rule of a command."""
    return next((rule for rule in RULES if rule.kind in command), Rule(""))


def write_stand_ins() -> None:
    """Writes clips, captions and small weights into the current folder, which must be empty."""
    write_inputs({"captions.csv": "name,caption\nfirst,waves\n"})
    write_checkpoints("venhancer", venhancer.INPUTS)
    Path("VIDEOS").mkdir()
    for name in ("first", "second"):
        _write_waves(Path(f"VIDEOS/{name}.mp4"))
    shutil.copyfile(demo_clip(), "VIDEO")
    Path("upscaler").mkdir()
    with contextlib.chdir("upscaler"):
        write_inputs(upscale_a_video.INPUTS.files)
        write_checkpoints("upscale_a_video", upscale_a_video.INPUTS)


def _write_waves(path: Path, frames: int = 40, height: int = 720, width: int = 1280) -> None:
    y, x = np.mgrid[:height, :width]
    with VideoWriter(path, width=width, height=height, rate=Fraction(30)) as out:
        for i in range(frames):
            waves = 127 + 100 * np.sin(x / 30 + i / 3) * np.cos(y / 40)
            out.write(np.repeat(waves[..., None], 3, axis=-1).astype(np.uint8))
