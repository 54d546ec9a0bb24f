"""Kills enhancements at random moments and resumes them, as JSON.

    python -m benchmarks.kill_resume --kills=50

Runs of a system without networks are ended with SIGKILL, some of them while segments are joined,
others with SIGINT and SIGTERM, and the same command is run again until it is done. The output must
be byte for byte that of a run that was never interrupted, with nothing left beside it. Then the
disk is full for a while: the error says so, and the run resumes. Exit code 1 if an output differs.
"""

import dataclasses
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.measure import report
from benchmarks.robustness.clips import moving_square, write_clip
from benchmarks.robustness.forked import fork_server, start
from benchmarks.robustness.sums_system import CONFIG

KILLS = flags.DEFINE_integer("kills", 50, "runs to kill")
JOIN_KILLS = flags.DEFINE_integer("join_kills", 4, "runs to kill while segments are joined")
SEED = flags.DEFINE_integer("seed", 0, "seed of the moments")
_PRELOADED = (
    "benchmarks.robustness.sums_system",
    "venhancer_jax.cli.sample",
    "venhancer_jax.pipelines.jobs",
    "venhancer_jax.pipelines.run",
)
_TIMEOUT = 60.0
_UNEVEN = [0, 40, 95, 300, 310, 400, 520, 600, 705, 900]


@dataclasses.dataclass(frozen=True)
class Case:
    """A run of one clip.

    Attributes:
      clip: clip to enhance.
      output: name of the output.
      settings: config keys and values.
    """

    clip: str
    output: str
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Returns words for the case."""
        chosen = " ".join(f"{key}={value}" for key, value in self.settings.items())
        return f"{self.clip} to {self.output} {chosen}"

    def arguments(self) -> list[str]:
        """Returns the command line."""
        values = {"input": self.clip, "output": self.output, "window": 8, "delay": 0.01}
        values |= self.settings
        return ["--config=sums.py", *(f"--config.{key}={value}" for key, value in values.items())]


STREAMED, WHOLE = {"segment_windows": 1}, {"segment_windows": 0}
CASES = (
    Case("tone.mp4", "a.mp4", {"codec": "h264", **STREAMED}),
    Case("tone.mp4", "b.mkv", {"codec": "h265", **STREAMED}),
    Case("uneven.mkv", "c.mp4", {"codec": "h264", **STREAMED}),
    Case("uneven.mkv", "d", {"codec": "png", **STREAMED}),
    Case("scenes.mp4", "e.mp4", {"codec": "h264", **WHOLE}),
    Case("scenes.mp4", "f.mov", {"codec": "h265", "target_fps": 24, **STREAMED}),
    Case("scenes.mp4", "g", {"codec": "png", **WHOLE}),
    Case("tone.mp4", "h.webm", {"codec": "av1", "segment_windows": 2}),
)


class Runs:
    """Runs in a folder.

    Attributes:
      folder: working folder, with all clips.
      log: file with all that was printed.
    """

    def __init__(self, folder: Path) -> None:
        """Writes the clips; starts the process that others are forked off."""
        self.folder, self.log = folder, folder.with_suffix(".log")
        self._context = fork_server(_PRELOADED)
        write_clip(folder / "tone.mp4", moving_square(40), sound=True)
        write_clip(folder / "scenes.mp4", moving_square(36, scenes=3))
        uneven = [1000 * round_ + stamp for round_ in range(4) for stamp in _UNEVEN]
        write_clip(folder / "uneven.mkv", moving_square(40), milliseconds=uneven)
        (folder / "sums.py").write_text(CONFIG)

    def start(self, case: Case, command: str = "venhancer_jax.cli.sample:main"):
        """Starts a run."""
        self.log.write_bytes(b"")
        return start(self._context, command, case.arguments(), folder=self.folder, log=self.log)

    def finish(self, case: Case) -> float:
        """Runs to the end; returns the seconds.

        Raises:
          RuntimeError: the run failed, or did not end.
        """
        begun = time.monotonic()
        process = self.start(case)
        _end(process)
        if process.exitcode != 0:
            raise RuntimeError(f"{case.name}: exit code {process.exitcode}: {self.log.read_text()}")
        return time.monotonic() - begun

    def take(self, case: Case) -> dict[str, bytes]:
        """Returns the files of the output and what else was left by name; removes all of them."""
        known = {"sums.py", *(other.clip for other in CASES)}
        found = {}
        for path in sorted(self.folder.iterdir()):
            if path.name in known:
                continue
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    found[str(file.relative_to(self.folder))] = file.read_bytes()
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found


def _end(process: ForkServerProcess) -> None:
    process.join(_TIMEOUT)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise RuntimeError("a run did not end")


def _is_joining(folder: Path, case: Case) -> bool:
    """Returns whether the segments are being joined: the output has its hidden name."""
    hidden = re.compile(rf"\.{re.escape(case.output)}\..*\.part|\.{re.escape(case.output)}\.next")
    return any(hidden.fullmatch(entry.name) for entry in os.scandir(folder))


def _kill(runs: Runs, case: Case, after: float | None) -> str:
    """Starts a run and kills it.

    Args:
      runs: folder of the run.
      case: run to start.
      after: seconds until it is killed; None for as soon as it joins.

    Returns:
      What the run was at: done, joining, or enhancing.
    """
    process = runs.start(case)
    end = time.monotonic() + (_TIMEOUT if after is None else after)
    while time.monotonic() < end and process.exitcode is None:
        if after is None and _is_joining(runs.folder, case):
            break
        time.sleep(0.0005 if after is None else 0.002)
    process.kill()
    process.join()
    if process.exitcode == 0:
        return "done"
    if process.exitcode != -9:
        raise RuntimeError(f"{case.name}: exit code {process.exitcode}: {runs.log.read_text()}")
    return "joining" if _is_joining(runs.folder, case) else "enhancing"


def _interrupt(runs: Runs, case: Case, number: int, after: float) -> tuple[str, float]:
    """Starts a run and interrupts it.

    Args:
      runs: folder of the run.
      case: run to start.
      number: signal.
      after: seconds until it is sent, from when the run is under way.

    Returns:
      What the run was at: done or interrupted; and the seconds that it took to end.
    """
    process = runs.start(case)
    while " -> " not in runs.log.read_text() and process.exitcode is None:
        time.sleep(0.01)
    time.sleep(after)
    begun = time.monotonic()
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
    _end(process)
    seconds = time.monotonic() - begun
    if process.exitcode == 0:
        return "done", 0.0
    printed = runs.log.read_text()
    if process.exitcode != 128 + number or "to resume" not in printed or "Traceback" in printed:
        raise RuntimeError(f"{case.name}: exit code {process.exitcode}: {printed}")
    return "interrupted", seconds


def kill_and_resume(runs: Runs) -> dict[str, Any]:
    """Kills runs of all cases in turn; returns counts and what differed."""
    draw = random.Random(SEED.value)
    whole, seconds = {}, {}
    for case in CASES:
        seconds[case.name] = runs.finish(case)
        whole[case.name] = runs.take(case)
    kills = {"enhancing": 0, "joining": 0}
    interrupts, slowest = 0, 0.0
    by_case = {case.name: 0 for case in CASES}
    compared, resumed, differences = 0, 0, []
    rounds = 0
    while sum(kills.values()) < KILLS.value or kills["joining"] < JOIN_KILLS.value:
        case = CASES[rounds % len(CASES)]
        rounds += 1
        for _ in range(draw.randint(1, 4)):
            if draw.random() < 0.2:
                number = draw.choice([signal.SIGINT, signal.SIGTERM])
                stage, took = _interrupt(runs, case, number, draw.uniform(0, 0.4))
                if stage == "done":
                    break
                interrupts, slowest = interrupts + 1, max(slowest, took)
                continue
            wants_join = kills["joining"] < JOIN_KILLS.value and draw.random() < 0.3
            stage = _kill(
                runs, case, None if wants_join else draw.uniform(0.2, 1) * seconds[case.name]
            )
            if stage == "done":
                seconds[case.name] *= 0.7
                break
            kills[stage] += 1
            by_case[case.name] += 1
        else:
            # The first run of a machine that was busy took longer than it has to.
            seconds[case.name] = min(seconds[case.name], runs.finish(case))
            resumed += "resuming: " in runs.log.read_text()
        compared += 1
        found = runs.take(case)
        expected = whole[case.name]
        if found != expected:
            changed = {name for name in found | expected if found.get(name) != expected.get(name)}
            differences.append(f"{case.name}: {sorted(changed)}")
    return {
        "kills": sum(kills.values()),
        **{f"kills_while_{stage}": count for stage, count in kills.items()},
        "kills_by_case": by_case,
        "interrupts": interrupts,
        "slowest_interrupt_seconds": slowest,
        "outputs_compared": compared,
        "runs_that_resumed_finished_segments": resumed,
        "shortest_run_seconds": {name: round(took, 2) for name, took in seconds.items()},
        "differences": differences,
    }


def limited(arguments: Sequence[str]) -> int:
    """Enhances where no file can grow beyond a few kilobytes."""
    from venhancer_jax.cli import sample

    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
    return sample.main(arguments)


@contextmanager
def _small_disk(folder: Path, kilobytes: int) -> Iterator[bool]:
    """Has a folder on a disk of its own, where that is permitted; returns whether it is."""
    options = ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(folder: Path) -> dict[str, Any]:
    """Enhances on a full disk and, when there is room, again; returns what happened."""
    problems, said, finished = [], [], []
    with _small_disk(folder, 1024) as mounted:
        runs = Runs(folder)
        for case in CASES[:4]:
            runs.finish(case)
            whole = runs.take(case)
            for room in (8_000, 30_000):
                if mounted:
                    free = shutil.disk_usage(folder).free
                    # Zeros that can go: the disk is full but for this much.
                    (folder / "filling").write_bytes(bytes(max(0, free - room)))
                process = runs.start(
                    case, "venhancer_jax.cli.sample:main" if mounted else f"{__spec__.name}:limited"
                )
                _end(process)
                (folder / "filling").unlink(missing_ok=True)
                printed = runs.log.read_text()
                error = re.search("error: .*", printed)
                said.append(error[0] if error else "")
                finished.append(len([*folder.glob("*.job/[0-9]*.json")]))
                if process.exitcode == 0:
                    said[-1] = "enough room"
                elif process.exitcode != 2 or "Traceback" in printed or not error:
                    problems.append(f"{case.name}: {process.exitcode}: {printed}")
                elif (folder / case.output).exists():
                    problems.append(f"{case.name}: an output beside an error")
                elif mounted and "the disk is full" not in said[-1]:
                    problems.append(f"{case.name}: {said[-1]}")
                runs.finish(case)
                if runs.take(case) != whole:
                    problems.append(f"{case.name}: other bytes after a full disk")
    return {
        "disk": "of its own" if mounted else "limited files",
        "runs": len(said),
        "runs_with_errors": sum(each != "enough room" for each in said),
        "finished_segments_kept": finished,
        "an_error": next((each for each in said if each != "enough room"), ""),
        "problems": problems,
    }


def main(argv: list[str]) -> None:
    del argv
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("killed", "full")]
        for folder in folders:
            folder.mkdir()
        killed = kill_and_resume(Runs(folders[0]))
        full = full_disk(folders[1])
    seconds = time.monotonic() - begun
    report(killed | {"full_disk": full, "process_seconds": seconds})
    sys.exit(1 if killed["differences"] or full["problems"] else 0)


if __name__ == "__main__":
    app.run(main)
