"""Wrong input of the command line is refused before anything is loaded."""

import shutil
from pathlib import Path

import pytest
from cli.sample_folder import PUBLISHED, refused, settings, video

# What is wrong, and a part of the message.
WRONG_SETTINGS = [
    ("nokey=3", "config.nokey: no such setting. --help lists all settings"),
    ("inptu=a.mp4", "config.inptu: no such setting. Did you mean 'input'?"),
    ("input.x=3", "config.input.x: no such setting"),
    ("mesh.model=2", "config.mesh.model: no such setting"),
    ("noise_aug=abc", "config.noise_aug 'abc': expected a whole number from 0 to 300"),
    ("noise_aug=1.5", "config.noise_aug '1.5': expected a whole number from 0 to 300"),
    ("up_scale=x", "config.up_scale 'x': expected a number from 0.0625 to 8"),
    ("name_as_prompt=maybe", "config.name_as_prompt 'maybe': expected True or False"),
    ("up_scale=0", "up_scale 0.0: expected a number from 0.0625 to 8"),
    ("up_scale=9", "up_scale 9.0: expected a number from 0.0625 to 8"),
    ("up_scale=nan", "up_scale nan: expected a number from 0.0625 to 8"),
    ("up_scale=0.1", "an output of 2x3 (height x width) from 24x32"),
    ("target_size=480", "target_size (480,): expected two whole numbers"),
    ("target_size=480x832", "target_size ('480x832',): expected two whole numbers"),
    ("target_size=8,832", "target_size (8, 832): expected two whole numbers from 16"),
    ("target_fps=0", "target_fps '0': expected a number such as 24"),
    ("target_fps=-24", "target_fps '-24': expected a number such as 24"),
    ("target_fps=fast", "target_fps 'fast': expected a number such as 24"),
    ("fps_scale=17", "fps_scale 17.0: expected a number from 0.0625 to 16"),
    ("noise_aug=-1", "noise_aug -1: expected a whole number from 0 to 300"),
    ("noise_aug=301", "noise_aug 301: expected a whole number from 0 to 300"),
    ("window=1", "window 1: expected a whole number from 2 to 1000"),
    ("steps=0", "steps 0: expected a whole number from 1 to 1000"),
    ("seed=-1", "seed -1: expected a whole number from 0"),
    ("guidance_scale=nan", "guidance_scale nan: expected a number from 0 to 100"),
    ("guidance_rescale=2", "guidance_rescale 2.0: expected a number from 0 to 1"),
    ("quality=1.1", "quality 1.1: expected a number from 0 to 1"),
    ("solver=euler", "solver 'euler': expected one of dpmpp_2m_sde, heun, ddim"),
    ("solver_mode=slow", "solver_mode 'slow': expected one of fast, normal"),
    ("codec=vp9", "codec 'vp9': expected one of h264, h265, av1, prores"),
    ("compat=new", "compat 'new': expected one of default, official"),
    ("preset=huge", "preset 'huge': expected one of demo, venhancer"),
    ("dtype=float8", "dtype 'float8': expected one of auto, float32, bfloat16"),
    ("start_time=0.4", "start_time=0.4: in.mp4 lasts 0.300 s"),
    ("start_time=-1", "start_time -1.0: expected a number from 0"),
    ("max_frames=0", "max_frames 0: expected a whole number from 1"),
    ("max_frames=-2", "max_frames -2: expected a whole number from 1"),
    ("prompt_file=gone.txt", "gone.txt: the prompts cannot be read"),
    ("prompt_file=blank.txt", "blank.txt: 0 prompts, but in.mp4 is video number 1"),
    ("checkpoint=gone.pt", "checkpoint 'gone.pt': no such file"),
    ("checkpoint=text.pt", "text.pt is not a whole PyTorch checkpoint"),
    ("checkpoint=other.safetensors", "other.safetensors"),
    ("checkpoint=.", ". holds no converted weights"),
    ("input=", "no input: set --config.input=VIDEO"),
    ("input=gone.mp4", "gone.mp4: no such file"),
    ("input=" + "x" * 300, "File name too long"),
    ("input=empty.mp4", "empty.mp4: the file is empty"),
    ("input=cut.mp4", "cut.mp4: the file is cut short"),
    ("input=text.mp4", "text.mp4: not a video or image file"),
    ("input=sound.m4a", "sound.m4a: only sound (aac)"),
    ("input=frameless.mp4", "zero frames"),
    ("input=nothing_here", "nothing_here: no video in this folder"),
    ("output=in.mp4", "in.mp4: this output is also an input"),
    ("output=./nothing_here/../in.mp4", "this output is also an input"),
    ("output=link.mp4", "link.mp4: this output is also an input"),
    ("output=text.mp4/a/out.mp4", "text.mp4/a/out.mp4: cannot be written (Not a directory)"),
    ("output=/proc/a/out.mp4", "/proc/a/out.mp4: cannot be written"),
    ("output=out.avi", "out.avi: h264 cannot be written to '.avi'"),
]


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(("setting", "message"), WRONG_SETTINGS, ids=lambda text: text[:40])
def test_wrong_settings(
    setting: str, message: str, folder: Path, wrong_files: Path, capsys: pytest.CaptureFixture
):
    shutil.copytree(wrong_files, folder, symlinks=True, dirs_exist_ok=True)
    chosen = settings(input="in.mp4", output="out.mp4")
    refused(capsys, [*chosen, f"--config.{setting}"], message, folder)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.mp4"], "unexpected argument 'in.mp4'"),
        (["--input=in.mp4"], "Unknown command line flag 'input'"),
        (["--config=gone.py"], "config gone.py: no such file, nor one of demo, genve"),
        (["--config=broken.py"], "config broken.py: SyntaxError"),
        (
            ["--config=without.py"],
            "config without.py: not a config file: expected a function",
        ),
        (
            ["--config=of_dict.py"],
            "config of_dict.py: not a config file: expected a function",
        ),
        (["--config=short.py"], "the config lacks allow_beyond_4k, allow_damaged"),
        (["--config=raises.py"], "config raises.py: ZeroDivisionError"),
        (["--config=exits.py"], "config exits.py: SystemExit: 3"),
        ([PUBLISHED], "no input"),
        ([PUBLISHED, "--config.input=in.mp4", "--config.version=v3"], "version 'v3': expected"),
    ],
    ids=str,
)
def test_wrong_command_lines(arguments, message, folder: Path, capsys: pytest.CaptureFixture):
    Path("broken.py").write_text("def get_config(:\n")
    Path("without.py").write_text("config = 3\n")
    Path("of_dict.py").write_text("def get_config():\n    return {'input': 'in.mp4'}\n")
    Path("raises.py").write_text("def get_config():\n    return 1 / 0\n")
    Path("exits.py").write_text("raise SystemExit(3)\n")
    Path("short.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'input': 'in.mp4'})\n"
    )
    refused(capsys, arguments, message, folder)


@pytest.mark.usefixtures("no_weights")
def test_results_that_would_replace_others_are_refused(folder: Path, capsys: pytest.CaptureFixture):
    video("all/a.mp4")
    refused(capsys, settings(input="all", output="all"), "is also an input", folder)
    video("all/a.mov")
    chosen = settings(input="all", output="results")
    refused(capsys, chosen, "all/a.mov and all/a.mp4 would both become results/a.mp4", folder)
    refused(capsys, settings(input="all", output="in.mp4"), "output in.mp4 is a file", folder)


@pytest.mark.usefixtures("no_weights")
def test_folder_without_a_good_video(capsys: pytest.CaptureFixture, folder: Path):
    for name in ("a", "b"):
        video(f"all/{name}.mp4")
    message = "none of the 2 videos can be enhanced; the first: all/a.mp4: start_time=3"
    refused(capsys, settings(input="all", start_time=3), message, folder)
