"""Time and memory of converting a full-size checkpoint there and back, as JSON.

    python -m benchmarks.conversion --folder=/tmp/conversion

Makes a checkpoint of the published layout with generated weights (2,180 tensors, 7.6 GiB),
converts it, converts it back, and compares every tensor bit by bit. Each conversion runs in a
process of its own. The folder keeps the checkpoint and the converted weights.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks.make_checkpoint import make_checkpoint
from venhancer_jax.convert.read import open_state_dict

FOLDER = flags.DEFINE_string("folder", None, "where to work; needs 25 GB", required=True)
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "float16"], "of the checkpoint")


def main(argv: list[str]) -> None:
    del argv
    folder = Path(FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    source, weights, back = folder / "venhancer.pt", folder / "weights", folder / "back.pt"
    make_checkpoint("venhancer", "venhancer", source, DTYPE.value)
    facts: dict[str, Any] = {
        "tensors": len(open_state_dict(source)),
        "bytes": source.stat().st_size,
    }
    facts["there"] = _run("venhancer", str(source), str(weights))
    facts["back"] = _run("back", str(weights), str(back))
    first, second = open_state_dict(source), open_state_dict(back)
    facts["bit_equal"] = first.shapes == second.shapes and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )
    back.unlink()
    print(json.dumps(facts, indent=2))


def _run(*arguments: str) -> dict[str, float]:
    """Runs `python -m convert` and reads the memory of that process alone."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "convert", *arguments]
    pid = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return {"seconds": time.perf_counter() - start, "peak_gib": usage.ru_maxrss / 2**20}


if __name__ == "__main__":
    app.run(main)
