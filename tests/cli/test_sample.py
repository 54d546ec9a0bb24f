"""The command line: options arrive, and results are whole or absent."""

import itertools
import os
import re
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import jax
import numpy as np
import pytest
from cli.sample_folder import PUBLISHED, QUICK, files, settings, video
from pipelines.tiny_system import tiny_system

from venhancer_jax.cli.sample import main, parse_sample_config
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import programs
from venhancer_jax.pipelines.step_cache import StepCache
from venhancer_jax.pipelines.system import EnhancedSegment
from venhancer_jax.pipelines.venhancer import load
from venhancer_jax.pipelines.venhancer.plan import plan_space
from venhancer_jax.pipelines.venhancer.system import VEnhancer
from venhancer_jax.startup import CACHE_VARIABLE
from venhancer_jax.video import probe, read_frames

ROOT = Path(__file__).parents[2]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> VEnhancer:
    """Has the command line use the tiny system."""
    monkeypatch.setattr(load, "load_venhancer", lambda *folders, **options: tiny_system())
    return tiny_system()


@pytest.fixture
def fast_system(system: VEnhancer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny system without its denoiser, for what does not depend on the pictures."""
    monkeypatch.setattr(programs, "denoise", lambda *args: (args[3], StepCache()))


def enhance(*arguments: str, output: str = "out.mp4", **values) -> Path:
    chosen = {"input": "in.mp4", "output": output} | values
    assert main([*QUICK, *settings(**chosen), *arguments]) == 0
    return Path(output)


def sound(path: Path) -> np.ndarray:
    """The samples of the first sound stream."""
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


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

    def enhance_nothing(self, frames, *, rate, options, place, progress):
        seen["options"], seen["frames"] = options, list(frames)
        blank = np.zeros((*plan_space(24, 32, options, (0, 1), 1).size, 3), np.uint8)
        return EnhancedSegment(None, lambda stop: itertools.repeat(blank))

    monkeypatch.setattr(VEnhancer, "enhance_segment", enhance_nothing)
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
    assert (len(out.times), out.height, out.width) == (len(facts.times), 24, 32)
    for i in range(len(facts.times)):
        assert abs(out.times.seconds(i) - facts.times.seconds(i)) < Fraction(1, 1000)
    assert abs(out.times.duration - facts.times.duration) < Fraction(1, 1000)
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


@pytest.mark.usefixtures("system")
def test_video_that_breaks_while_it_is_enhanced(
    monkeypatch: pytest.MonkeyPatch, folder: Path, capsys: pytest.CaptureFixture
):
    Path("out.mp4").write_bytes(b"an older file")
    seen = files(folder)

    def spoil(*args):
        raise InputError("in.mp4: broke off")

    monkeypatch.setattr(programs, "denoise", spoil)
    assert main([*QUICK, *settings(input="in.mp4", output="out.mp4")]) == 2
    assert "broke off" in capsys.readouterr().err
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


@pytest.mark.slow
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
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "run the same command again to resume" in rest
    assert "Traceback" not in rest
    assert files(folder) == before
