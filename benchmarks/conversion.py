"""Time and memory of converting full-size checkpoints there and back, as JSON.

    python -m benchmarks.conversion --folder=/tmp/conversion
    python -m benchmarks.conversion --system=upscale_a_video --folder=/tmp/conversion
    python -m benchmarks.conversion --preset=debug --folder=/tmp/conversion

Makes the checkpoints of a system in their published layouts with generated weights, converts them,
converts them back, and compares every tensor bit by bit. With a preset they have its sizes. Each
conversion runs in a process of its own. The folder keeps the checkpoints and the converted weights.
"""

import dataclasses
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.make_checkpoint import make_checkpoint, size_arguments
from venhancer_jax.convert.read import open_state_dict
from venhancer_jax.convert.release import Part, all_releases
from venhancer_jax.pipelines.registry import DEFAULT_SYSTEM, find_system

SYSTEM = flags.DEFINE_enum("system", DEFAULT_SYSTEM, sorted(all_releases()), "whose checkpoints")
FOLDER = flags.DEFINE_string("folder", None, "where to work; needs 25 GB", required=True)
PRESET = flags.DEFINE_string("preset", None, "preset of sizes; by default the published ones")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "of the checkpoints")


def main(argv: list[str]) -> None:
    del argv
    folder = Path(FOLDER.value)
    parts = [_measured(_sized(part), folder) for part in all_releases()[SYSTEM.value].parts]
    facts = {
        "system": SYSTEM.value,
        "tensors": sum(part["tensors"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        "bit_equal": all(part["bit_equal"] for part in parts),
        "parts": parts,
    }
    print(json.dumps(facts, indent=2))


def _sized(part: Part) -> Part:
    """Returns a network of the system in the sizes of the preset."""
    if not PRESET.value:
        return part
    role = "video_vae" if part.folder == "vae_video" else part.network
    config = find_system(SYSTEM.value).presets[PRESET.value][role]
    return dataclasses.replace(part, config=config)


def _measured(part: Part, folder: Path) -> dict[str, Any]:
    """Makes, converts and compares the checkpoint of one network."""
    # PyTorch writes the files; they are the last of the names that a part may have.
    source, weights = folder / "released" / part.files[-1], folder / "weights" / part.folder
    back = source.with_name(f"back_{source.name}")
    source.parent.mkdir(parents=True, exist_ok=True)
    # In a process of its own, as processes that are started inherit the peak memory of this one.
    maker = multiprocessing.get_context("spawn").Process(
        target=make_checkpoint,
        args=(part.network, part.layout, source, DTYPE.value),
        kwargs={"config": part.config, "wrapper": part.wrapper},
    )
    maker.start()
    maker.join()
    sizes = size_arguments(part.network, part.config) if PRESET.value else []
    there = _run(part.network, str(source), str(weights), *sizes)
    again = _run("back", str(weights), str(back))
    first, second = open_state_dict(source), open_state_dict(back)
    facts = {
        "file": part.files[-1],
        "tensors": len(first),
        "bytes": source.stat().st_size,
        "there": there,
        "back": again,
        "bit_equal": first.shapes == second.shapes
        and all(first[name].tobytes() == second[name].tobytes() for name in first),
    }
    back.unlink()
    return facts


def _run(*arguments: str) -> dict[str, float]:
    """Runs `python -m convert` and reads the memory of that process alone."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "convert", *arguments]
    # What conversions print is not part of the JSON.
    quiet = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - start, "peak_gib": usage.ru_maxrss / 2**20}


if __name__ == "__main__":
    app.run(main)
