"""Cases of `benchmarks.fuzz`: each is damaged at random, run in its folder, and checked."""

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from safetensors.numpy import save_file

from benchmarks.robustness import sums_system
from benchmarks.robustness.clips import moving_square, write_clip
from benchmarks.robustness.sums_system import CONFIG
from venhancer_jax.assets import demo_weights
from venhancer_jax.cli import sample
from venhancer_jax.convert import __main__ as convert
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines import run as runs
from venhancer_jax.pipelines.config import enhancement_config, settings_of
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.settings import help_rows

SUMS = ["--config=sums.py", "--config.window=6", "--config.segment_windows=1"]
_INPUTS = ("a.mp4", "b.mkv", "c.avi", "d.png", "pictures")
_CODES = (0, 2)
# Settings that wait for other processes, or that take long by intention.
_SKIPPED = {"distributed", "coordinator", "process_id", "process_count", "delay", "system"}
_VALUES = (
    "", "0", "1", "-1", "2", "0.5", "1e309", "nan", "inf", "-inf", "99999999999999999999", "abc",
    "None", "True", "(1,2)", "1,2", "[1,[2", "{}", "{'data': 0}", "a=b", "\u00e9\u4e2d\U0001f600",
    "30000/1001", "1/0", "0/1", "x" * 5000, "in.mp4", "none.mp4", "no/such/folder/x.mp4", ".", "..",
    "folder/", "out.mkv", "out.xyz", "a\0b", "%s", "~", "://", "gs://", "auto", "png", "h265",
)  # fmt: skip
_CONFIGS = (
    "", "def get_config(", "def get_config():\n    return 1\n", "get_config = 3\n",
    "def get_config():\n    raise ValueError('no')\n",
    "def get_config():\n    return {'input': 'in.mp4'}\n", "raise SystemExit(3)\n",
    "from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({'a': 1})\n",
    "from ml_collections import ConfigDict\ndef get_config():\n"
    "    return ConfigDict({'system': 7})\n",
    CONFIG.replace(".lock()", "\n").replace("return enh", "config = enh")
    + "    config.window = 'many'\n    return config\n",
    CONFIG.replace(".lock()", "\n").replace("return enh", "config = enh")
    + "    config.input = 3\n    config.max_frames = [1]\n    return config\n",
    "import no_such_module\n", "\0", "\xff\xfe",
)  # fmt: skip


def prepare(arguments: Sequence[str]) -> int:
    """Writes clips, weights and a job folder that cases begin with."""
    base = Path(arguments[0], "base")
    base.mkdir()
    os.chdir(base)
    frames = moving_square(16, scenes=2)
    write_clip(base / "a.mp4", frames, sound=True)
    write_clip(base / "b.mkv", frames[:6], milliseconds=[0, 30, 100, 210, 300, 400])
    write_clip(base / "c.avi", frames)
    (base / "pictures").mkdir()
    for index, frame in enumerate(frames[:4]):
        av.VideoFrame.from_ndarray(frame, format="rgb24").to_image().save(
            base / "pictures" / f"{index:03d}.png"
        )
    shutil.copy(base / "pictures" / "000.png", base / "d.png")
    (base / "sums.py").write_text(CONFIG)
    shutil.copytree(demo_weights(), base / "weights")
    save_file({"a.weight": np.zeros((3, 4), np.float32)}, base / "other.safetensors")
    with zipfile.ZipFile(base / "other.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a.weight": [1.0, 2.0]}))
        archive.writestr("archive/version", "3\n")
    settings = [*SUMS, "--config.input=a.mp4", "--config.cuts=none"]
    assert sample.main([*settings, "--config.output=whole.mp4"]) == 0
    join, runs._join = runs._join, _stop
    with contextlib.suppress(InterruptedError):
        sample.main([*settings, "--config.output=out.mp4"])
    runs._join = join
    assert (base / "out.mp4.job" / "000002.mp4").exists()
    return 0


def _stop(*arguments: object) -> None:
    raise InterruptedError


def run(arguments: Sequence[str]) -> int:
    """Runs cases by their seeds; adds a line to the file `results` for each."""
    folder = Path(arguments[0])
    os.environ["HF_HUB_OFFLINE"] = "1"
    for seed in map(int, arguments[1:]):
        draw = random.Random(seed)
        kind, prepare_case = draw.choices(
            [*_KINDS.items()], weights=[0.4, 0.25, 0.15, 0.2]
        )[0]  # fmt: skip
        (folder / "current").write_text(kind)
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        os.chdir(work)
        shutil.copy(folder / "base" / "sums.py", work)
        begun = time.monotonic()
        about, command, check = prepare_case(draw, folder / "base")
        print(f"case {seed}: {kind} {about}", flush=True)
        code, printed = _captured(command)
        problems = list(_problems(code, printed, check))
        print(f"{code}: {printed[-1500:]}", flush=True)
        result = {
            "case": seed, "kind": kind, "code": code, "seconds": time.monotonic() - begun,
            "problems": [*problems, about, printed[-1500:]] if problems else [],
        }  # fmt: skip
        with (folder / "results").open("a") as file:
            file.write(json.dumps(result) + "\n")
    return 0


def _captured(command: Callable[[], int]) -> tuple[int, str]:
    """Runs a command; returns its exit code, and what it printed to both streams."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = command()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            code = 1
            traceback.print_exc(file=printed)
    return code, printed.getvalue()


def _problems(code: int, printed: str, check: Callable[[int], Iterator[str]]) -> Iterator[str]:
    if code not in _CODES:
        yield f"exit code {code}"
    if "Traceback" in printed:
        yield "traceback"
    if code == 2 and "error: " not in printed:
        yield "no words on the error"
    for path in Path().iterdir():
        if path.name.startswith("."):
            yield f"{path.name} was left"
    yield from check(code)


def check_output(name: str, *, code: int, whole: bytes | None = None) -> Iterator[str]:
    """Yields what is wrong with an output: it is there if the run succeeded, and whole.

    Args:
      name: name of the output.
      code: exit code of the run.
      whole: expected bytes, if they are known.
    """
    path = Path(name)
    if path.exists() != (code == 0):
        yield f"exit code {code}, and the output is {'there' if path.exists() else 'missing'}"
    if not path.is_file():
        return
    if whole is not None and path.read_bytes() != whole:
        yield "the output has other bytes"
    try:
        with av.open(str(path)) as container:
            count = sum(1 for _ in container.decode(video=0))
        if not count:
            yield "the output is empty"
    except (FFmpegError, IndexError) as error:
        yield f"the output cannot be read: {error}"


def damage(path: Path, draw: random.Random) -> str:
    """Changes some bytes of a file; returns how."""
    content = bytearray(path.read_bytes())
    how = draw.choice(["flip", "flip", "cut", "zero", "insert", "repeat", "header"])
    size = max(1, len(content))
    if how == "cut":
        del content[draw.randrange(size) :]
    elif how == "insert":
        place = draw.randrange(size)
        content[place:place] = draw.randbytes(draw.randrange(1, 200))
    elif how in ("zero", "repeat"):
        place, length = draw.randrange(size), draw.randrange(1, 500)
        length = min(length, len(content) - place)
        content[place : place + length] = (
            bytes(length) if how == "zero" else content[place : place + length] * 2
        )
    else:
        stop = min(size, 200) if how == "header" else size
        for _ in range(draw.choice([1, 3, 20, 200])):
            if content:
                content[draw.randrange(stop) % len(content)] = draw.randrange(256)
    path.write_bytes(content)
    return f"{path.name}: {how}"


def _input(draw: random.Random, base: Path) -> tuple[str, Callable[[], int], Any]:
    """A damaged video or picture."""
    name = draw.choice(_INPUTS)
    source = base / name
    if source.is_dir():
        shutil.copytree(source, name)
        file = draw.choice(sorted(Path(name).iterdir()))
        how = damage(file, draw)
    else:
        shutil.copy(source, name)
        how = damage(Path(name), draw)
    settings: dict[str, Any] = {"input": name, "output": draw.choice(["out.mp4", "out.mkv"])}
    if draw.random() < 0.5:
        settings["allow_damaged"] = True
    if draw.random() < 0.3:
        settings["start_time"] = draw.choice([0.1, 0.55, 1.5])
    if draw.random() < 0.2:
        settings["target_fps"] = draw.choice(["24", "7", "30000/1001"])
    arguments = [*SUMS, *(f"--config.{key}={value}" for key, value in settings.items())]
    return (
        f"{how} {settings}",
        lambda: sample.main(arguments),
        lambda code: check_output(settings["output"], code=code),
    )


def _config(draw: random.Random, base: Path) -> tuple[str, Callable[[], int], Any]:
    """Random settings, or a random config file."""
    shutil.copy(base / "a.mp4", "in.mp4")
    if draw.random() < 0.25:
        text = draw.choice(_CONFIGS)
        Path("random.py").write_text(text)
        arguments = ["--config=random.py", "--config.input=in.mp4", "--config.output=out.mp4"]
    else:
        SYSTEMS[sums_system.NAME] = sums_system.__name__
        system = draw.choice(["sums", "sums", "venhancer", "upscale_a_video"])
        keys = sorted(set(enhancement_config(system)) - _SKIPPED)
        chosen = {"input": "in.mp4", "output": "out.mp4"}
        for key in draw.sample(keys, draw.choice([1, 1, 2, 5])):
            chosen[draw.choice([key] * 9 + [key + "s"])] = _value(key, system, draw)
        config = "sums.py" if system == "sums" else system
        arguments = [
            f"--config={config}", *(f"--config.{key}={value}" for key, value in chosen.items()),
        ]  # fmt: skip

    def check(code: int) -> Iterator[str]:
        for path in Path().rglob("*.mp4"):
            if path.name != "in.mp4":
                yield from check_output(str(path), code=code)
        if Path("in.mp4").read_bytes() != (base / "a.mp4").read_bytes():
            yield "the input was changed"

    return str(arguments), lambda: sample.main(arguments), check


def _value(key: str, system: str, draw: random.Random) -> str:
    """Draws a value for a setting, in half of all cases one that may be right."""
    rows = help_rows(enhancement_config(system), *settings_of(system))
    row = next((row for row in rows if row.key == key), None)
    if row is None or draw.random() < 0.5:
        return draw.choice(_VALUES)
    if row.choices:
        return draw.choice(row.choices)
    return draw.choice([str(row.default), "1", "2", "0.5", "True", "4", "none"])


def _weights(draw: random.Random, base: Path) -> tuple[str, Callable[[], int], Any]:
    """Damaged weight folders and checkpoints."""

    def nothing(code: int) -> Iterator[str]:
        del code
        yield from ()

    if draw.random() < 0.4:
        name = draw.choice(["other.safetensors", "other.pt"])
        shutil.copy(base / name, name)
        how = damage(Path(name), draw)
        arguments = [draw.choice(["venhancer", "vae", "text"]), name, "converted"]
        return f"{how} {arguments}", lambda: convert.main(arguments), nothing
    shutil.copytree(base / "weights", "weights")
    files = sorted(path for path in Path("weights").rglob("*") if path.is_file())
    how = draw.choice(["damage", "damage", "remove", "exchange", "group", "index"])
    file = draw.choice(files)
    index = draw.choice([path for path in files if path.name == "weights.json"])
    if how == "damage":
        how = damage(draw.choice([file, index]), draw)
    elif how == "remove":
        file.unlink()
        how = f"{file} removed"
    elif how == "exchange":
        other = draw.choice(files)
        content, changed = file.read_bytes(), other.read_bytes()
        file.write_bytes(changed)
        other.write_bytes(content)
        how = f"{file} and {other} exchanged"
    elif how == "group":
        shutil.rmtree(index.parent / "groups" / "0000")
    else:
        how = f"{index}: {_change_json(index, draw)}"
    arguments = ["--config=demo", "--config.text_checkpoint=none"]
    for key in ("checkpoint", "vae_checkpoint"):
        folder = "venhancer" if key == "checkpoint" else "vae"
        arguments.append(f"--config.{key}=weights/{folder}")

    def load() -> int:
        try:
            config, _ = sample.parse_sample_config(arguments)
            assert config is not None
            sample.load_system(config)
            sample.weight_facts(config)
        except InputError as error:
            print(f"error: {error}")
            return 2
        return 0

    return how, load, nothing


def _change_json(path: Path, draw: random.Random) -> str:
    """Changes a value somewhere in a JSON file; returns what."""
    stored = json.loads(path.read_text())
    place, trail = stored, []
    while True:
        if not isinstance(place, (dict, list)) or not place:
            return "nothing to change"
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        trail.append(str(key))
        if isinstance(place[key], (dict, list)) and place[key] and draw.random() < 0.7:
            place = place[key]
            continue
        break
    value = draw.choice([None, 7, -1, "text", [], {}, 1e99, [1], "../x"])
    if draw.random() < 0.3:
        del place[key]
    else:
        place[key] = value
    path.write_text(json.dumps(stored))
    return f"{'.'.join(trail)} = {value!r}"


def _job(draw: random.Random, base: Path) -> tuple[str, Callable[[], int], Any]:
    """A damaged job folder, which is resumed."""
    shutil.copy(base / "a.mp4", "a.mp4")
    folder = Path(shutil.copytree(base / "out.mp4.job", "out.mp4.job"))
    done = []
    for _ in range(draw.choice([1, 1, 2, 4])):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if not files:
            break
        file, other = draw.choice(files), draw.choice(files)
        how = draw.choice(["remove", "damage", "damage", "exchange", "json", "junk", "folder"])
        if how == "remove":
            file.unlink()
        elif how == "damage":
            how = damage(file, draw)
        elif how == "exchange":
            content = file.read_bytes()
            file.write_bytes(other.read_bytes())
            other.write_bytes(content)
        elif how == "json":
            file = draw.choice([path for path in files if path.suffix == ".json"] or [file])
            try:
                how = f"json {_change_json(file, draw)}"
            except ValueError:
                file.write_text("[]")
        elif how == "junk":
            names = ["x.json", "0000001.json", "999999.json", "-1.json", "000001.mp4", "1.npz"]
            file = folder / draw.choice(names)
            if file.is_dir():
                continue
            file.write_bytes(draw.randbytes(30) if draw.random() < 0.5 else b'{"facts": 1}')
        else:
            file.unlink()
            file.mkdir()
        done.append(f"{how} {file.name}")
    settings = ["--config.input=a.mp4", "--config.cuts=none", "--config.output=out.mp4"]
    other = draw.random() < 0.2
    if draw.random() < 0.2:
        settings.append("--config.restart=True")
    if other:
        settings.append("--config.quality=0.3")
    whole = None if other else (base / "whole.mp4").read_bytes()

    def check(code: int) -> Iterator[str]:
        yield from check_output("out.mp4", code=code, whole=whole)
        if code == 0 and folder.exists():
            yield "the job folder was left"

    return f"{done} {settings}", lambda: sample.main([*SUMS, *settings]), check


_KINDS = {"input": _input, "config": _config, "weights": _weights, "job": _job}


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
