"""The benchmarks run, print what they promise, and compare with earlier results."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from absl import flags

from benchmarks.measure import compared
from venhancer_jax.pipelines.registry import SYSTEMS

BENCHMARKS = sorted(p.stem for p in (Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))
WITHOUT_MAIN = ("browser", "measure", "denoiser", "plain_system", "random_system")
TIMES = {"first_seconds", "seconds", "median_seconds", "tflop", "tflop_per_second", "mfu"}
HOST = {"device", "devices", "jax", "peak_gib"}
SMALL = ["--preset=debug", "--frames=3", "--height=10", "--width=8"]
AUTOENCODER = """
from venhancer_jax.training.config import training_config


def get_config():
    config = training_config()
    config.preset, config.objective = "debug", "autoencoder"
    config.batch, config.frames, config.height, config.width = 2, 3, 32, 32
    return config.lock()
"""


@pytest.fixture
def load():
    """Imports benchmarks, whose flags have equal names, and forgets them afterwards."""
    modules, names = set(sys.modules), set(flags.FLAGS)
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    for name in set(flags.FLAGS) - names:
        delattr(flags.FLAGS, name)
    for name in set(sys.modules) - modules:
        if name.startswith("benchmarks."):
            del sys.modules[name]
    flags.FLAGS.unparse_flags()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(load: Callable, capsys: pytest.CaptureFixture) -> Callable[..., dict]:
    """Runs a benchmark and returns the JSON that it prints."""

    def call(name: str, *arguments: str) -> dict:
        module = load(name)
        flags.FLAGS([name, *arguments])
        capsys.readouterr()
        module.main([])
        out = capsys.readouterr().out
        return json.loads(out[out.index("{\n") :])

    return call


@pytest.mark.parametrize("name", BENCHMARKS)
def test_imports(name: str, load: Callable):
    module = load(name)
    assert module.__doc__ and (name in WITHOUT_MAIN or callable(module.main))


def test_trainings_of_the_table_are_as_configured(load: Callable):
    lines = [line for line in load("fits").cases().values() if line[0] == "train.py"]
    assert lines
    for line in lines:
        assert not [argument for argument in line if argument.startswith("--config.")]


@pytest.mark.slow
def test_denoise_step(run: Callable, tmp_path: Path):
    profile = tmp_path / "profile"
    flags = ["--repeats=1", "--attention=xla", "--guidance", f"--profile={profile}"]
    step = run("denoise_step", *SMALL, *flags)
    assert step.keys() >= TIMES | HOST | {"parameters", "trace_seconds", "compile_seconds"}
    assert (step["guidance"], step["attention"], step["mfu"]) == (True, "xla", None)
    assert step["shape"] == [1, 3, 10, 8, 4] and step["tflop"] > 0
    assert any(profile.rglob("*.xplane.pb"))


@pytest.mark.slow
def test_vae(run: Callable, tmp_path: Path):
    then, saved = tmp_path / "then.json", tmp_path / "now.json"
    then.write_text(json.dumps({"dtype": "bfloat16", "encode": {"median_seconds": 2.0}}))
    size = ["--preset=debug", "--height=16", "--width=16", "--frames=2", "--repeats=2"]
    times = run("vae", *size, f"--save={saved}", f"--baseline={then}")
    comparison = times.pop("comparison")
    assert times.keys() == HOST | {"preset", "dtype", "encode", "decode"}
    for stage in ("encode", "decode"):
        assert times[stage].keys() == TIMES | {"shape"}
        assert len(times[stage]["seconds"]) == 2
        assert times[stage]["tflop_per_second"] > 0
    assert json.loads(saved.read_text()) == times
    ratio = times["encode"]["median_seconds"] / 2
    assert comparison["ratios"] == {"encode.median_seconds": ratio}
    assert {"dtype", "preset"} <= set(comparison["differ"])


def test_windows_compile_once_and_are_linear(run: Callable):
    """Sixteen times as many windows: no compilation more, and not 256 times the time."""
    few, many = run("windows", "--frames=100,1600", "--height=2", "--width=8")["clips"]
    assert many["windows"] > 16 * few["windows"]
    assert few["compilations"] == many["compilations"] <= 3
    assert few["compilations_later"] == many["compilations_later"] == 0
    assert many["median_seconds"] < 64 * few["median_seconds"]
    assert max(few["largest_error"], many["largest_error"]) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["demo", "debug"])
def test_clip(preset: str, run: Callable):
    size = ["--frames=2", "--height=32", "--width=32", "--up_scale=2", "--steps=2"]
    times = run("clip", f"--preset={preset}", *size)
    assert times["shape"] == [4, 64, 64, 3]
    stages = {f"{stage}_seconds" for stage in ("encode", "denoise", "decode")}
    chosen = {"preset", "dtype", "input_shape", "shape", "working_size", "calls"}
    assert times.keys() == TIMES | HOST | chosen | stages | {"frames_per_second"}
    assert sum(times[stage] for stage in stages) == pytest.approx(times["median_seconds"], rel=0.1)


@pytest.mark.slow
def test_train_step(run: Callable, tmp_path: Path):
    config = tmp_path / "config.py"
    config.write_text(AUTOENCODER)
    times = run("train_step", f"--config={config}", "--batch=1", "--repeats=1")
    assert times.keys() >= TIMES | HOST
    assert (times["objective"], times["shape"]) == ("autoencoder", [1, 3, 32, 32, 3])
    assert times["clips_per_second"] == pytest.approx(1 / times["median_seconds"])
    assert times["tflop"] > 0


@pytest.mark.slow
def test_startup_of_a_step(run: Callable, load: Callable):
    load("denoiser")
    times = run("startup", *SMALL)
    assert times.keys() >= {f"{p}_seconds" for p in ("trace_and_lower", "compile_or_load", "run")}


@pytest.mark.slow
def test_startup_of_the_demo(run: Callable):
    seconds = run("startup", "--max_frames=2")
    cold, warm = seconds["cold"], seconds["warm"]
    assert cold["compile_seconds"] > 2 * warm["compile_seconds"]
    for phases in (cold, warm):
        whole = phases.pop("process_seconds")
        assert 0.5 * whole < sum(phases.values()) < whole


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_precision(system: str, run: Callable):
    few = ["--preset=debug", "--height=16", "--width=24", "--steps=2"]
    found = run("precision", f"--system={system}", *few)
    assert (found["system"], found["dtype"]) == (system, "bfloat16")
    assert found["contrast"] > 20
    assert 25 < found["psnr"] < 60  # neither broken, nor float32 twice
    assert run("precision", f"--system={system}", "--dtype=float16", *few)["psnr"] > found["psnr"]


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_all_wrong_inputs_are_refused(system: str, load: Callable, empty: Path):
    command = load("wrong_inputs.__main__")
    results = command.run_cases(system, command.cases_of(system))
    assert len(results) >= 30
    assert [command.row(result) for result in results if result.faults] == []


def test_some_wrong_inputs_are_refused(load: Callable, empty: Path):
    shared, case = load("wrong_inputs.shared"), load("wrong_inputs.case")
    shared.write_inputs({})
    inputs = load("wrong_inputs.upscale_a_video").INPUTS
    words = ("inptu=", "input=gone", "output=in.mp4", "noise_level=351", "compat=official up_scale")
    chosen = [
        wrong
        for wrong in (*shared.SHARED, *inputs.cases)
        if any(word in wrong.arguments.replace("--config.", "") for word in words)
    ]
    assert len(chosen) == len(words)
    for wrong in chosen:
        assert case.run_case(wrong, inputs.arguments, Path("cache")).faults == []


def test_bad_refusals_of_wrong_inputs_are_found(
    load: Callable, empty: Path, monkeypatch: pytest.MonkeyPatch
):
    case = load("wrong_inputs.case")

    def broken(arguments: list[str]) -> int:
        Path(".out.mp4.part").touch()
        Path("in.mp4").write_text("changed")
        raise ValueError(arguments)

    monkeypatch.setitem(case.COMMANDS, "broken", broken)
    monkeypatch.setitem(case.COMMANDS, "accepts", lambda arguments: 0)
    Path("in.mp4").write_text("a clip")
    result = case.run_case(case.Case("--a", "expected b", "broken"), {}, Path("cache"))
    assert result.left == (".out.mp4.part", "in.mp4")
    assert len(result.faults) == 4
    assert not Path(".out.mp4.part").exists()
    accepted = case.run_case(case.Case("--a", "", "accepts"), {}, Path("cache"))
    assert accepted.faults == ["exit code 0"]


def test_comparison():
    then = {"device": "a", "shape": [1, 2], "seconds": [1], "step": {"median_seconds": 2.0}}
    now = {"device": "a", "shape": (1, 2), "seconds": [3], "step": {"median_seconds": 3.0}}
    assert compared(now, then) == {"ratios": {"step.median_seconds": 1.5}, "differ": []}
    now |= {"shape": (1, 3), "peak_gib": 1.0, "mfu": 0.5, "new": 1}
    assert compared(now, then | {"mfu": None})["differ"] == ["new", "shape"]
    assert compared(now, then | {"peak_gib": None})["ratios"].keys() == {"step.median_seconds"}
