"""Wrong inputs that the commands of every system share, and the files that they need."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.make_checkpoint import make_checkpoint
from benchmarks.wrong_inputs.case import Case
from venhancer_jax.assets import demo_clip
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.config import enhancement_config
from venhancer_jax.pipelines.registry import SYSTEMS, find_system
from venhancer_jax.weights import save_weights

CLIP = "in.mp4"
SMALL_VAE = "other/vae.bin"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WrongInputs:
    """Wrong inputs of one system.

    Attributes:
      weights: role of the network in each weight folder, by the path of the folder.
      arguments: arguments of every case by command, with which it would run.
      cases: wrong inputs of this system alone.
      files: contents of further files, by their paths.
      copies: sources of further files and folders, by their paths.
    """

    weights: Mapping[str, str]
    arguments: Mapping[str, list[str]]
    cases: tuple[Case, ...]
    files: Mapping[str, str | bytes] = dataclasses.field(default_factory=dict)
    copies: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _sample(settings: str, message: str) -> Case:
    return Case(f"--config.{settings}", message)


SHARED: tuple[Case, ...] = (
    Case(CLIP, f"unexpected argument '{CLIP}'"),
    Case(f"--input={CLIP}", "Unknown command line flag 'input'"),
    Case("--config=gone.py", "config gone.py: no such file"),
    Case("--config=broken.py", "config broken.py: SyntaxError"),
    _sample("nokey=3", "config.nokey: no such setting"),
    _sample("inptu=a.mp4", "config.inptu: no such setting. Did you mean 'input'?"),
    _sample("input=", "no input: set --config.input=VIDEO"),
    _sample("input=gone.mp4", "gone.mp4: no such file"),
    _sample("input=empty.mp4", "empty.mp4: the file is empty"),
    _sample("input=cut.mp4", "the file is damaged"),
    _sample("input=text.mp4", "text.mp4: not a video or image file"),
    _sample("input=nothing_here", "nothing_here: no video in this folder"),
    _sample(f"output={CLIP}", f"{CLIP}: this output is also an input"),
    _sample("output=link.mp4", "link.mp4: this output is also an input"),
    _sample("output=text.mp4/a.mp4", "text.mp4/a.mp4: cannot be written"),
    _sample("output=out.avi", "out.avi: h264 cannot be written to '.avi'"),
    _sample("up_scale=0", "up_scale 0.0: expected a number from 0.0625 to 8"),
    _sample("up_scale=x", "config.up_scale 'x': expected a number"),
    _sample("up_scale=.0625", "an output of"),
    _sample("target_size=480", "target_size (480,): expected two whole numbers"),
    _sample("target_fps=fast", "target_fps 'fast': expected a number such as 24"),
    _sample("fps_scale=17", "fps_scale 17.0: expected a number"),
    _sample("steps=0", "steps 0: expected a whole number from 1"),
    _sample("guidance_scale=nan", "guidance_scale nan: expected a number from 0 to 100"),
    _sample("guidance_interval=9,3", "guidance_interval (9, 3): expected the lower time step"),
    _sample("seed=-1", "seed -1: expected a whole number from 0"),
    _sample("fidelity=2", "fidelity 2.0: expected a number from 0 to 1"),
    _sample("grain=-1", "grain -1.0: expected a number from 0 to 1"),
    _sample("colour=sepia", "colour 'sepia': expected one of none, wavelet, adain, lab"),
    _sample("window=1", "window 1: expected a whole number from 2"),
    _sample("solver=euler", "solver 'euler': expected one of"),
    _sample("compat=new", "compat 'new': expected one of default"),
    _sample("dtype=float8", "dtype 'float8': expected one of auto, float32, bfloat16"),
    _sample("weights=int4", "weights 'int4': expected one of full, int8"),
    _sample("codec=vp9", "codec 'vp9': expected one of h264, h265, av1, prores, ffv1, png, exr"),
    _sample("quality=2", "quality 2.0: expected a number from 0 to 1"),
    _sample("start_time=99", f"start_time=99.0: {CLIP} lasts"),
    _sample("max_frames=0", "max_frames 0: expected a whole number from 1"),
    _sample("prompt_file=gone.txt", "gone.txt: the prompts cannot be read"),
    _sample("prompt_file=three.txt", "three.txt: 3 prompts, number of videos: 1"),
    _sample("prompt_file=blank.txt", f"blank.txt: 0 prompts, but {CLIP} is video number 1"),
    _sample("preset=huge", "preset 'huge': expected one of"),
    _sample("checkpoint= --config.preset=debug", "preset 'debug' has sizes but no weights"),
    _sample("checkpoint=gone.pt", "checkpoint 'gone.pt': no such"),
    _sample("mesh.data=64", "mesh"),
)
TRAIN: tuple[Case, ...] = (
    Case("--workdir=", "no workdir: give --workdir=FOLDER", "train"),
    Case("--config.nokey=3", "config.nokey", "train"),
    Case("--config.objective=dream", "objective 'dream': expected one of", "train"),
    Case("--config.system=nosuch", "system 'nosuch': expected one of", "train"),
    Case("--config.preset=huge", "preset 'huge': expected one of", "train"),
    Case("--config.steps=-1", "steps -1: expected a whole number from 0", "train"),
    Case("--config.data=gone", "gone", "train"),
    Case("--config.prior=gone", "gone", "train"),
)
CONVERT: tuple[Case, ...] = (
    Case("vae gone.bin to", "checkpoint 'gone.bin': no such file", "convert"),
    Case("vae text.mp4 to", "text.mp4 is not a whole PyTorch checkpoint", "convert"),
    Case(f"text {SMALL_VAE} to", "it looks like a checkpoint of 'vae'", "convert"),
    Case(f"vae {SMALL_VAE} to --size wide=3", "a vae has no size 'wide'", "convert"),
    Case(f"vae {SMALL_VAE} to", "the checkpoint does not fit the network", "convert"),
    Case("back nothing_here to.pt", "nothing_here holds no converted weights", "convert"),
)


def option_of_another(system: str) -> Case:
    """Returns a case with an option that another system has."""
    own = set(enhancement_config(system))
    other, key = next(
        (other, key) for other in SYSTEMS for key in enhancement_config(other) if key not in own
    )
    return _sample(f"{key}=1", f"config.{key}: an option of system '{other}'")


def write_inputs(files: Mapping[str, str | bytes]) -> None:
    """Writes videos and texts, good and damaged ones, into the current folder.

    Args:
      files: contents of further files, by their paths.
    """
    clip = demo_clip().read_bytes()
    Path(CLIP).write_bytes(clip)
    Path("cut.mp4").write_bytes(clip[: len(clip) // 2])
    Path("link.mp4").symlink_to(CLIP)
    Path("nothing_here").mkdir()
    texts: dict[str, str | bytes] = {
        "empty.mp4": "",
        "text.mp4": "no video\n" * 100,
        "three.txt": "a cat\na dog\na fox\n",
        "blank.txt": "\n",
        "broken.py": "def get_config(:\n",
    }
    for name, content in {**texts, **files}.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)


def write_checkpoints(system: str, inputs: WrongInputs) -> None:
    """Writes weights and checkpoints into the current folder, after `write_inputs`."""
    preset = find_system(system).presets["debug"]
    for folder, role in inputs.weights.items():
        _write_weights(role.removeprefix("video_"), preset[role], Path(folder))
    Path(SMALL_VAE).parent.mkdir(exist_ok=True)
    make_checkpoint("vae", "diffusers", Path(SMALL_VAE), config=preset["vae"])
    for name, source in inputs.copies.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if Path(source).is_dir() else shutil.copyfile
        copy(source, name)


def _write_weights(network: str, config: catalog.Config, folder: Path) -> None:
    shapes = catalog.build(network, config).shapes
    zeros = ((name, np.zeros(x.shape, np.float32)) for name, x in shapes.items())
    save_weights(folder, zeros, {"network": network, "config": catalog.config_to_dict(config)})
