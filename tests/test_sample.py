"""The command line: options arrive, and wrong input is refused before anything is loaded."""

import os
import re
import shutil
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import jax
import numpy as np
import pytest
from pipelines.tiny_system import clip, tiny_system
from safetensors.numpy import save_file
from video.video_clips import make_video, tone

from venhancer_jax.cli.sample import main, parse_sample_config
from venhancer_jax.pipelines.venhancer import load, programs
from venhancer_jax.pipelines.venhancer.step_cache import StepCache
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import probe, read_frames

ROOT = Path(__file__).parents[1]
PUBLISHED = "--config=venhancer"

# Instead of the demo's settings: the size and rate of the input, two steps from noise.
QUICK = [
    "--config.up_scale=1", "--config.fps_scale=1", "--config.interpolation=previous",
    "--config.solver_mode=normal", "--config.steps=2", "--config.noise_aug=200",
    "--config.noise_levels=900", "--config.start_noise=1", "--config.guidance_scale=7.5",
]  # fmt: skip


@pytest.fixture(scope="module")
def first_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3 frames and 0.3 seconds, 10 frames a second."""
    return video(tmp_path_factory.mktemp("video") / "in.mp4")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_video: Path) -> Path:
    """Works in a folder with the first video, in.mp4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copy(first_video, "in.mp4")
    return tmp_path


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory, first_video: Path) -> Path:
    """A folder of files that are no good input."""
    folder = tmp_path_factory.mktemp("wrong")
    whole = first_video.read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "text.pt").write_text("no checkpoint\n" * 100)
    (folder / "blank.txt").write_text("\n")
    (folder / "nothing_here").mkdir()
    (folder / "link.mp4").symlink_to("in.mp4")
    (folder / "out.mp4").write_bytes(b"an older file")
    save_file({"some.tensor": np.zeros(3, np.float32)}, folder / "other.safetensors")
    make_video(folder / "frameless.mp4", [])
    with av.open(str(folder / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        samples.sample_rate = 48000
        container.mux(stream.encode(samples) + stream.encode(None))
    return folder


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where weights are loaded."""

    def loads(*args, **kwargs):
        raise AssertionError("weights are loaded")

    monkeypatch.setattr(load, "load_venhancer", loads)


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> VEnhancer:
    """Has the command line use the tiny system."""
    monkeypatch.setattr(load, "load_venhancer", lambda *folders, **options: tiny_system())
    return tiny_system()


@pytest.fixture
def fast_system(system: VEnhancer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny system without its denoiser, for what does not depend on the pictures."""
    monkeypatch.setattr(programs, "denoise", lambda *args: (args[3], StepCache()))


def video(name: str | Path, frames: int = 3, seconds: float = 0.3, **options) -> Path:
    """A video of 24x32 pixels with a tone."""
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    sounds = [tone(seconds)] if seconds else []
    chosen = {"rate": Fraction(10), "sounds": sounds} | options
    return make_video(path, clip(frames), **chosen)


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too; locks hold nothing and stay."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def settings(**values) -> list[str]:
    return [f"--config.{key}={value}" for key, value in values.items()]


def enhance(*arguments: str, output: str = "out.mp4", **values) -> Path:
    chosen = {"input": "in.mp4", "output": output} | values
    assert main([*QUICK, *settings(**chosen), *arguments]) == 0
    return Path(output)


def refused(
    capsys: pytest.CaptureFixture, arguments: list[str], message: str, folder: Path
) -> None:
    """Exit code 2, one clear message, and nothing changed."""
    before = files(folder)
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert printed.count("\n") < 25
    assert "Traceback" not in printed
    assert files(folder) == before


def sound(path: Path) -> np.ndarray:
    """The samples of the first sound stream."""
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


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
    ("codec=vp9", "codec 'vp9': expected one of h264, h265, av1, png"),
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
        (["--config=gone.py"], "config gone.py: no such file, nor one of demo, train_d"),
        (["--config=broken.py"], "config broken.py: SyntaxError"),
        (
            ["--config=without.py"],
            "config without.py: not a config file: expected a function",
        ),
        (
            ["--config=of_dict.py"],
            "config of_dict.py: not a config file: expected a function",
        ),
        (["--config=short.py"], "the config lacks allow_damaged, checkpoint, codec"),
        (["--config=raises.py"], "config raises.py: ZeroDivisionError"),
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
def test_help(capsys: pytest.CaptureFixture):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "python sample.py" in printed
    assert re.search(r"--config\.noise_levels= .*\(whole; 21\)", printed)
    assert re.search(r"--config\.up_scale= .*\(number; 4\.0\)", printed)
    assert main([PUBLISHED, "--help"]) == 0
    assert re.search(r"--config\.noise_levels= .*\(whole; 900\)", capsys.readouterr().out)


@pytest.mark.usefixtures("fast_system")
def test_size_rate_and_sound_are_right():
    out = enhance(target_size="22,30", target_fps="15", window=4)
    facts = probe(out)
    assert (facts.height, facts.width, facts.rate) == (22, 30, 15)
    assert abs(facts.duration - Fraction(3, 10)) <= Fraction(1, 30)
    assert not facts.variable_rate
    assert np.array_equal(sound(out), sound(Path("in.mp4")))


@pytest.mark.usefixtures("fast_system")
@pytest.mark.parametrize(
    ("values", "seconds"),
    [({}, 0.8), ({"start_time": 0.1}, 0.7), ({"max_frames": 2}, 0.2)],
    ids=str,
)
def test_sound_is_cut_to_the_part(values: dict, seconds: float):
    # Twice as long as the pictures, and kept unless their end is cut off.
    video("long.mp4", seconds=0.8)
    out = enhance(input="long.mp4", **values)
    assert len(sound(out)) / 48000 == pytest.approx(seconds, abs=0.045)
    assert probe(out).frames == {0.8: 3, 0.7: 2, 0.2: 2}[seconds]


@pytest.mark.usefixtures("system")
def test_every_setting_arrives(monkeypatch: pytest.MonkeyPatch):
    seen = {}

    def enhance_nothing(self, frames, *, rate, options, progress):
        seen["options"], seen["frames"] = options, list(frames)
        return iter(seen["frames"])

    monkeypatch.setattr(VEnhancer, "enhance", enhance_nothing)
    enhance(
        prompt="a fox", negative_prompt="a hen", target_size="(24, 32)", target_fps="59.94",
        noise_aug=50, solver="heun", solver_mode="fast", steps=7, guidance_scale=2,
        guidance_rescale=0.5, window=9, seed=3, compat="official", max_frames=2,
        noise_levels=800, start_noise=0.5,
    )  # fmt: skip
    options = seen["options"]
    assert (options.prompt, options.negative_prompt) == ("a fox", "a hen")
    assert (options.target_size, options.target_fps) == ((24, 32), Fraction(60000, 1001))
    assert (options.noise_aug, options.window, options.seed) == (50, 9, 3)
    assert (options.solver, options.solver_mode, options.steps) == ("heun", "fast", 7)
    assert (options.guidance_scale, options.guidance_rescale) == (2, 0.5)
    assert (options.noise_levels, options.start_noise) == (800, 0.5)
    assert options.compat == "official"
    assert len(seen["frames"]) == 2
    enhance(guidance_interval="200,900", guidance_reuse=2, controlnet_reuse=3, deep_reuse=4)
    options = seen["options"]
    assert options.guidance_interval == (200, 900)
    assert (options.guidance_reuse, options.controlnet_reuse, options.deep_reuse) == (2, 3, 4)
    enhance(interpolation="flow", shape_buckets=True)
    assert (seen["options"].interpolation, seen["options"].shape_buckets) == ("flow", True)
    enhance(target_fps="30000/1001", start_time=0.2, up_scale=1.0)
    assert seen["options"].target_fps == Fraction(30000, 1001)
    assert seen["options"].target_size is None
    np.testing.assert_array_equal(seen["frames"], list(read_frames("in.mp4"))[2:])


@pytest.mark.usefixtures("fast_system")
@pytest.mark.parametrize(("codec", "name"), [("h265", "a.mov"), ("av1", "a.webm"), ("png", "a")])
def test_codecs(codec: str, name: str):
    out = enhance(output=name, codec=codec)
    if codec == "png":
        assert sorted(path.name for path in out.iterdir()) == [f"00000{i}.png" for i in (1, 2, 3)]
    else:
        assert probe(out).codec == {"h265": "hevc", "av1": "av1"}[codec]
        assert probe(out).frames == 3


@pytest.mark.usefixtures("system")
def test_same_bytes_again_and_quality_and_seed_matter():
    first = enhance(output="a.mp4").read_bytes()
    assert enhance(output="b.mp4").read_bytes() == first
    assert enhance(output="c.mp4", seed=1).read_bytes() != first
    assert len(enhance(output="d.mp4", quality=0).read_bytes()) < len(first)


@pytest.mark.usefixtures("fast_system")
@pytest.mark.parametrize(
    "options",
    [
        {"stamps": [0, 20, 400], "time_base": Fraction(1, 1000)},
        {"codec": "ffv1", "pixel_format": "bgra", "source_format": "rgb24"},
        {"pixel_format": "yuv420p10le", "codec": "libx265", "options": {}},
        {"codec": "ffv1", "pixel_format": "gray"},
        {"seconds": 0},
    ],
    ids=["variable rate", "alpha", "10 bit", "grey", "silent"],
)
def test_unusual_videos(options: dict):
    video("unusual.mkv", **options)
    facts = probe("unusual.mkv")
    out = probe(enhance(input="unusual.mkv"))
    assert facts.variable_rate == ("stamps" in options)
    assert (out.frames, out.height, out.width) == (facts.frames, 24, 32)
    assert abs(out.duration - facts.duration) <= 1 / (2 * out.rate)
    assert (out.audio_codec is None) == (facts.audio_codec is None)


@pytest.mark.usefixtures("fast_system")
def test_one_frame():
    video("one.mp4", frames=1, seconds=0.1)
    assert probe(enhance(input="one.mp4")).frames == 1


@pytest.mark.usefixtures("fast_system")
def test_folder_with_a_corrupt_video(capsys: pytest.CaptureFixture):
    for name in ("a", "c"):
        video(f"all/{name}.mp4")
    Path("all/b.mp4").write_text("no video\n" * 100)
    Path("prompts.txt").write_text("a cat\na dog\na fox\n")
    chosen = settings(input="all", output="results", prompt_file="prompts.txt")
    assert main([*QUICK, *chosen]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("error: ") == 1
    assert "error: all/b.mp4: not a video or image file" in printed.err
    # Prompts go with the videos, whether they can be read or not.
    assert "prompt 'a cat'" in printed.out
    assert "prompt 'a fox'" in printed.out
    assert sorted(files(Path("results"))) == ["a.mp4", "c.mp4"]


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("error", ["RESOURCE_EXHAUSTED", "MemoryError"])
def test_a_clip_that_exhausts_memory(
    error: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """It is named with what would help; the others are enhanced, and 1 outranks 2."""
    for name in ("a", "b", "c"):
        video(f"all/{name}.mp4", frames=1 if name == "b" else 3)
    Path("all/d.mp4").write_text("no video\n" * 100)
    denoise = programs.denoise

    def limited(*args):
        if args[3].shape[1] != 1:
            return denoise(*args)
        if error == "MemoryError":
            raise MemoryError
        raise jax.errors.JaxRuntimeError(f"{error}: Out of memory allocating 8 bytes.")

    monkeypatch.setattr(programs, "denoise", limited)
    assert main([*QUICK, *settings(input="all", output="results")]) == 1
    printed = capsys.readouterr()
    (line,) = (line for line in printed.err.splitlines() if "memory" in line)
    assert line.startswith("error: all/b.mp4: not enough memory. What would help: a smaller")
    assert "Traceback" not in printed.err
    assert sorted(files(Path("results"))) == ["a.mp4", "c.mp4"]


@pytest.mark.usefixtures("system")
def test_other_errors_of_the_runtime_are_raised(monkeypatch: pytest.MonkeyPatch):
    def failing(*args):
        raise jax.errors.JaxRuntimeError("INTERNAL: a bug")

    monkeypatch.setattr(programs, "denoise", failing)
    with pytest.raises(jax.errors.JaxRuntimeError, match="a bug"):
        main([*QUICK, *settings(input="in.mp4", output="out.mp4")])
    assert not Path("out.mp4").exists()


def test_old_names_of_keys(capsys: pytest.CaptureFixture):
    config, _ = parse_sample_config(["--config.between=previous"])
    assert config is not None and config.interpolation == "previous"
    assert "config.between is now config.interpolation" in capsys.readouterr().err
    Path("older.py").write_text(
        "from venhancer_jax.pipelines.config import enhancement_config\n"
        "def get_config():\n"
        "    config = enhancement_config()\n    config.between = 'flow'\n    return config\n"
    )
    config, _ = parse_sample_config(["--config=older.py"])
    assert config is not None and config.interpolation == "flow" and "between" not in config


@pytest.mark.usefixtures("no_weights")
def test_folder_without_a_good_video(capsys: pytest.CaptureFixture, folder: Path):
    for name in ("a", "b"):
        video(f"all/{name}.mp4")
    message = "none of the 2 videos can be enhanced; the first: all/a.mp4: start_time=3"
    refused(capsys, settings(input="all", start_time=3), message, folder)


@pytest.mark.usefixtures("system")
def test_video_that_breaks_while_it_is_enhanced(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture
):
    Path("out.mp4").write_bytes(b"an older file")
    seen = files(folder)

    def spoil(*args):
        # The partial file is there by now, beside the older one.
        assert len(files(folder)) == len(seen) + 1
        raise KeyboardInterrupt

    monkeypatch.setattr(programs, "denoise", spoil)
    assert main([*QUICK, *settings(input="in.mp4", output="out.mp4")]) == 1
    assert "interrupted" in capsys.readouterr().err
    assert files(folder) == seen


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    """Starts the command line in a process of its own, with the demo on two small frames."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment.pop(CACHE_VARIABLE)
    chosen = [*QUICK, *settings(max_frames=2, steps=1, target_size="32,64"), *arguments]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sample.py"), *chosen],
        cwd=folder,
        env=environment | {"JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_demo_from_another_folder(folder: Path):
    process = started(folder)
    printed, problems = process.communicate(timeout=600)
    assert process.returncode == 0, problems
    assert "birds_128x72.mp4" in printed
    facts = probe(folder / "results" / "birds_128x72.mp4")
    assert (facts.width, facts.height, facts.rate, facts.frames) == (64, 32, 15, 2)


@pytest.mark.slow
def test_interrupt_while_denoising(folder: Path):
    Path("out.mp4").write_bytes(b"an older file")
    before = files(folder)
    # Interrupts stay off in what is started by a process that has them off.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = started(folder, *settings(output="out.mp4", steps=899))
    signal.signal(signal.SIGINT, handler)
    assert process.stderr is not None
    printed = ""
    while not re.search(r"denoise:.* [1-9]\d*/899", printed):
        piece = process.stderr.read(1)
        assert piece, printed
        printed += piece
    assert len(files(folder)) == len(before) + 1
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "interrupted: what was partly written is removed" in rest
    assert "Traceback" not in rest
    assert files(folder) == before
