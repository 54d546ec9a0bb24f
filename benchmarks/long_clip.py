"""Measures whether memory, disk and time per frame depend on the length of a clip, as JSON.

    python -m benchmarks.long_clip --video=VIDEO --minutes=1,10
    python -m benchmarks.long_clip --video=VIDEO --minutes=1,10 --preset=tiny
    python -m benchmarks.long_clip --video=VIDEO --minutes=1,10 --preset=sums

Loops a video with small changes (each round is shifted and a little brighter or darker) into clips
of some minutes, and enlarges each by `sample.py` in a process of its own: by the shipped model, by
networks of the sizes of a preset with random weights, or by a system without networks (sums), which
shows what surrounds them. The shortest clip is enhanced twice and counted once, since the first run
compiles; it should have several segments, because a run of a part of a segment takes less memory.
"""

import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from absl import app, flags, logging

from benchmarks.measure import report
from benchmarks.random_system import unit_gain_params
from benchmarks.robustness import sums_system
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.registry import find_system
from venhancer_jax.video import VideoWriter, probe, read_frames
from venhancer_jax.weights import save_weights

VIDEO = flags.DEFINE_string("video", None, "video that is looped", required=True)
MINUTES = flags.DEFINE_list("minutes", ["1", "10"], "lengths of the clips, shortest first")
RATE = flags.DEFINE_integer("rate", 25, "frames per second of the clips")
PRESET = flags.DEFINE_string("preset", "demo", "preset of the networks")
SETTINGS = flags.DEFINE_list("settings", [], "settings of sample.py, such as window=16")
WIDTH = flags.DEFINE_integer("width", 320, "columns of the clips")
HEIGHT = flags.DEFINE_integer("height", 180, "rows of the clips")
SCALE = flags.DEFINE_float("up_scale", 2.0, "enlargement, where there are networks")
_POLL_SECONDS = 0.2
_PARTS = 10


def looped(frames: int) -> Iterator[np.ndarray]:
    """Yields the frames of a clip, uint8 `[H, W, 3]`."""
    count = 0
    for turn in itertools.count():
        for frame in read_frames(VIDEO.value):
            if count == frames:
                return
            small = cv2.resize(frame, (WIDTH.value, HEIGHT.value), interpolation=cv2.INTER_AREA)
            shifted = np.roll(small, 3 * turn, axis=1).astype(np.int16) + 4 * (turn % 5 - 2)
            yield shifted.clip(0, 255).astype(np.uint8)
            count += 1


def chosen_networks(folder: Path) -> list[str]:
    """Returns the arguments that select the networks, whose weights it writes if need be."""
    scales = [f"--config.up_scale={SCALE.value}", "--config.fps_scale=1"]
    if PRESET.value == "demo":
        return scales
    if PRESET.value == sums_system.NAME:
        (folder / "sums.py").write_text(sums_system.CONFIG)
        return [f"--config={folder / 'sums.py'}"]
    settings = [*scales, f"--config.preset={PRESET.value}"]
    options = {"venhancer": "checkpoint", "vae": "vae_checkpoint", "text": "text_checkpoint"}
    for role, config in find_system("venhancer").presets[PRESET.value].items():
        params = unit_gain_params(catalog.build(role, config))
        about = {"network": role, "config": catalog.config_to_dict(config)}
        save_weights(folder / role, ((n, np.asarray(x)) for n, x in params.items()), about)
        settings.append(f"--config.{options[role]}={folder / role}")
    return settings


def enhanced(source: Path, target: Path, chosen: list[str]) -> dict[str, Any]:
    """Enhances a clip in a process of its own; returns what it took."""
    command = [
        sys.executable, "-m", "venhancer_jax.cli", "sample", *chosen, f"--config.input={source}",
        f"--config.output={target}", *(f"--config.{setting}" for setting in SETTINGS.value),
    ]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    job, first, disk = target.with_name(f"{target.name}.job"), None, 0
    resident: list[float] = []
    peak = 0.0
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        disk = max(disk, _folder_bytes(job))
        now, most = _resident_gib(process.pid)
        resident.append(now)
        # Not `ru_maxrss`, which a process inherits from the one that started it.
        peak = max(peak, most)
        if first is None and any(job.glob("*[0-9].json")):
            first = time.perf_counter() - start
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} failed with status {status}")
    frames = probe(target).frames
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = np.array_split(resident, _PARTS)
    return {
        "frames": frames,
        "seconds": seconds,
        "seconds_per_frame": seconds / frames,
        "first_segment_seconds": first,
        "peak_gib": peak,
        "peak_gib_of_each_tenth": [round(float(part.max(initial=0)), 3) for part in parts],
        "cores": cores,
        "core_share": (usage.ru_utime + usage.ru_stime) / seconds / (cores or 1),
        "cpu_seconds_per_frame": (usage.ru_utime + usage.ru_stime) / frames,
        "job_folder_mib": disk / 2**20,
        "output_mib": target.stat().st_size / 2**20,
    }


def _folder_bytes(folder: Path) -> int:
    """Returns the size of the files of a folder, which may go meanwhile."""
    total = 0
    with suppress(OSError):
        for entry in folder.iterdir():
            with suppress(OSError):
                total += entry.stat().st_size
    return total


def _resident_gib(process: int) -> tuple[float, float]:
    """Returns the resident memory of a process, and its peak so far, on Linux."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0, 0.0
    found = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status))
    return tuple(int(found.get(name, 0)) / 2**20 for name in ("VmRSS", "VmHWM"))  # type: ignore


def main(argv: list[str]) -> None:
    del argv
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        chosen = chosen_networks(folder)
        for minutes in MINUTES.value:
            frames = round(60 * RATE.value * float(minutes))
            source = folder / f"{minutes}.mp4"
            with VideoWriter(
                source, width=WIDTH.value, height=HEIGHT.value, rate=Fraction(RATE.value)
            ) as writer:
                for frame in looped(frames):
                    writer.write(frame)
            if not results:
                enhanced(source, folder / "compiled.mp4", chosen)
            results[minutes] = enhanced(source, folder / f"out_{minutes}.mp4", chosen)
            logging.info("%s minutes: %s", minutes, results[minutes])
    shortest, longest = (results[MINUTES.value[i]] for i in (0, -1))
    ratios = {
        f"{name}_ratio": longest[name] / shortest[name]
        for name in ("peak_gib", "seconds_per_frame", "cpu_seconds_per_frame")
    }
    report({"rate": RATE.value, "settings": SETTINGS.value, "clips": results} | ratios)


if __name__ == "__main__":
    app.run(main)
