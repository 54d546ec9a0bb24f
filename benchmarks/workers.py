"""Two workers on a folder of clips, one killed midway and replaced: JSON, exit code 1 if wrong.

    python -m benchmarks.workers

Each clip must be done once, equal to the bytes of a single run, and nothing of the workers may be
left. The clips are enlarged without networks, slowly; the workers are processes of `sample.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import av
import numpy as np
from absl import app, flags

from benchmarks.media import slow_identity

_CLIPS = flags.DEFINE_integer("clips", 12, "number of clips")
_FRAMES = flags.DEFINE_integer("frames", 16, "frames of a clip")
_SECONDS = flags.DEFINE_float("frame_seconds", 0.05, "seconds that a frame takes")

_CONFIG = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("slow_identity")
    config.up_scale, config.window, config.cuts = 2.0, 4, "none"
    return config.lock()
"""
_WORKER = """
import sys
from venhancer_jax.cli import sample
from venhancer_jax.pipelines.registry import SYSTEMS
SYSTEMS["slow_identity"] = "benchmarks.media.slow_identity"
sys.exit(sample.main(sys.argv[1:]))
"""


class Worker:
    """A process of `sample.py`; its output goes to a file."""

    def __init__(self, folder: Path, name: str, output: str, *, share: bool):
        """Starts the process.

        Args:
          folder: folder with the clips and the config.
          name: name of the worker.
          output: folder of results.
          share: whether the folder is shared with other workers.
        """
        self._printed, self._record = folder / f"{name}.txt", folder / f"{name}.segments"
        self._record.touch()
        variables = {
            slow_identity.RECORD: str(self._record),
            slow_identity.SECONDS: str(_SECONDS.value),
            "JAX_PLATFORMS": "cpu",
        }
        settings = [f"--config={folder / 'slow.py'}", f"--config.input={folder / 'in'}"]
        settings += [f"--config.output={folder / output}", f"--config.share={share}"]
        with self._printed.open("w") as printed:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, *settings],
                env=os.environ | variables,
                stdout=printed,
                stderr=self._printed.with_suffix(".errors").open("w"),
            )

    @property
    def written(self) -> list[str]:
        """Returns the names of the finished clips."""
        lines = self._printed.read_text().splitlines()
        return [Path(line.split()[1]).name for line in lines if line.startswith("wrote ")]

    @property
    def segments(self) -> int:
        """Returns the number of segments that were computed."""
        return len(self._record.read_text().splitlines())


def run(folder: Path) -> dict[str, object]:
    """Runs the workers in an empty folder; returns what happened."""
    (folder / "in").mkdir()
    (folder / "slow.py").write_text(_CONFIG)
    for number in range(_CLIPS.value):
        _make_clip(folder / f"in/{number:02d}.mp4", number)
    single = Worker(folder, "single", "alone", share=False)
    codes = {"single": single.process.wait()}
    started = time.perf_counter()
    first = Worker(folder, "first", "out", share=True)
    killed = Worker(folder, "killed", "out", share=True)
    per_clip = single.segments // _CLIPS.value
    # In the middle of a clip that is neither its first nor the last.
    while killed.process.poll() is None and (
        not killed.written or killed.segments % per_clip != per_clip // 2
    ):
        time.sleep(0.01)
    killed.process.kill()
    codes["killed"] = killed.process.wait()
    replacement = Worker(folder, "replacement", "out", share=True)
    codes |= {"first": first.process.wait(), "replacement": replacement.process.wait()}
    workers = {"first": first, "killed": killed, "replacement": replacement}
    times_done = Counter(name for worker in workers.values() for name in worker.written)
    alone, out = _contents(folder / "alone"), _contents(folder / "out")
    segments = sum(worker.segments for worker in workers.values())
    return {
        "clips": _CLIPS.value,
        "exit_codes": codes,
        "clips_by_worker": {name: len(worker.written) for name, worker in workers.items()},
        "each_done_once": sorted(times_done.items()) == [(name, 1) for name in sorted(alone)],
        "bytes_equal_to_a_single_run": out == alone,
        "files_left_over": sorted(set(out) - set(alone)),
        "segments": single.segments,
        "segments_computed_twice": segments - single.segments,
        "seconds": round(time.perf_counter() - started, 1),
    }


def is_right(found: dict[str, object]) -> bool:
    """Returns whether nothing was lost, and only what a killed worker had begun was done again."""
    codes = found["exit_codes"]
    return (
        bool(found["each_done_once"] and found["bytes_equal_to_a_single_run"])
        and codes == {"single": 0, "killed": -9, "first": 0, "replacement": 0}
        and 0 <= int(str(found["segments_computed_twice"])) <= 2
    )


def _make_clip(path: Path, number: int) -> None:
    noise = np.random.default_rng(number)
    picture = noise.integers(0, 256, (48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shift in range(_FRAMES.value):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, shift, 1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def main(arguments: list[str]) -> None:
    del arguments
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder))
    print(json.dumps(found, indent=2))
    if not is_right(found):
        sys.exit(1)


if __name__ == "__main__":
    app.run(main)
