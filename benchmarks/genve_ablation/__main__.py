"""Trains and measures the rows of the paper's ablation, at the size of the shipped model.

    python -m venhancer_jax.data.demo_clips --output=CLIPS
    python -m benchmarks.genve_ablation --workdir=DIR --clips=CLIPS

Rows, in the order of the paper: A no fusion, B cross-attention, C local attention, C1 with noise on
the reference, C2 with masked patches, C3 with its warp. The shipped model enhances in one step and
is no prior, so one first stage trains fresh UNet and ControlNet without fusion by the diffusion
loss; all rows start there, and train ControlNet and attention for equal steps with equal seeds.

Trained on synthetic clips, whose texture only the reference has, and on real ones; measured on
unseen clips of both kinds after five steps of DDIM, with the true key frame, with one shifted by
four patches, with another clip's, and with none; the last row also at three noise levels (figure 8
of the paper). Each row and seed is stored when it is finished; again with the same DIR, the command
resumes. `--table` prints what is finished.
"""

import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging

from benchmarks.genve_ablation import data, measure, train
from benchmarks.genve_ablation.table import checks, table
from venhancer_jax.files import atomic_file, atomic_write
from venhancer_jax.models.functional import Params
from venhancer_jax.startup import use_compilation_cache
from venhancer_jax.training.initialization import init_sharded_params

WORKDIR = flags.DEFINE_string("workdir", None, "folder of all that is computed", required=True)
CLIPS = flags.DEFINE_string("clips", None, "folder with train and heldout; without: synthetic only")
PRIOR_STEPS = flags.DEFINE_integer("prior_steps", 450, "steps of the first stage, of 8 clips")
STEPS = flags.DEFINE_integer("steps", 500, "steps of a row, of 4 clips")
RATE = flags.DEFINE_float("rate", 3e-3, "learning rate of a row")
SEEDS = flags.DEFINE_integer("seeds", 3, "number of seeds")
EXAMPLES = flags.DEFINE_integer("examples", 512, "clips of training, a quarter of them real")
UNSEEN = flags.DEFINE_integer("unseen", 16, "clips of each kind that are measured")
TABLE = flags.DEFINE_bool("table", False, "print what is finished, and compute nothing")
SAVE = flags.DEFINE_string("save", None, "file to write the results to")

_SINCE = time.perf_counter()


def say(line: str) -> None:
    """Prints a line with the seconds since the start."""
    print(f"{time.perf_counter() - _SINCE:7.0f} s  {line}", flush=True)


def main(argv: list[str]) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)
    folder = Path(WORKDIR.value)
    if not TABLE.value:
        (folder / "results").mkdir(parents=True, exist_ok=True)
        use_compilation_cache()
        kinds = data.KINDS if CLIPS.value else data.KINDS[:1]
        seen = data.joined([examples(kind, held_out=False) for kind in kinds])
        unseen = {kind: examples(kind, held_out=True) for kind in kinds}
        prior = first_stage(seen)
        for seed in range(SEEDS.value):
            for row in train.ROWS:
                if not result_file(row, seed).exists():
                    found = run(row, seed, prior, seen, unseen)
                    atomic_write(result_file(row, seed), json.dumps(found, indent=1))
                    say(f"row {row}, seed {seed}: {found['synthetic']}")
    results: dict[str, Any] = {}
    for row in train.ROWS:
        paths = sorted((folder / "results").glob(f"{row}_*.json"))
        results[row] = {p.stem.split("_")[1]: json.loads(p.read_text()) for p in paths}
    print(table(results))
    if SAVE.value:
        settings = {f.name: f.value for f in (PRIOR_STEPS, STEPS, RATE, SEEDS, EXAMPLES, UNSEEN)}
        saved = {"settings": settings, "checks": [*checks(results)], "results": results}
        atomic_write(Path(SAVE.value), json.dumps(saved, indent=1) + "\n")


def examples(kind: str, *, held_out: bool) -> data.Examples:
    """Loads the clips of training, or unseen ones."""
    share = {"synthetic": 3, "real": 1}[kind] if CLIPS.value else 4
    count = UNSEEN.value if held_out else EXAMPLES.value * share // 4
    path = Path(WORKDIR.value) / "examples" / f"{kind}_{'unseen' if held_out else 'seen'}.npz"
    clips = Path(CLIPS.value) if CLIPS.value else None
    found = data.load(path, train.row_task("A"), kind, count, held_out=held_out, folder=clips)
    say(f"{len(found.video)} {kind} clips")
    return found


def first_stage(seen: data.Examples) -> Params:
    """Trains the prior that all rows share, or loads it."""
    path = Path(WORKDIR.value) / "prior.npz"
    if path.exists():
        with np.load(path) as arrays:
            return {name: jnp.asarray(x) for name, x in arrays.items()}
    settings = {"trainable": "all", "batch": 8}
    task = train.row_task("A", **settings)
    start = {"params": task.params, "denoiser": {}}
    steps = PRIOR_STEPS.value
    prior = train.fit("A", start, seen, steps=steps, seed=2**20, log=say, **settings)
    with atomic_file(path) as partial, partial.open("wb") as file:
        arrays = {name: np.asarray(x) for name, x in prior.items()}
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its stub)
    return prior


def run(
    row: str, seed: int, prior: Params, seen: data.Examples, unseen: dict[str, data.Examples]
) -> dict[str, Any]:
    """Trains and measures a row with a seed."""
    task = train.row_task(row)
    fresh = _fresh(row, seed)
    start = {
        "params": {name: prior[name] if name in prior else fresh[name] for name in task.params},
        "denoiser": {name: prior[name] for name in task.frozen["denoiser"]},
    }
    rate = {"learning_rate": RATE.value}
    trained = train.fit(row, start, seen, steps=STEPS.value, seed=seed, log=say, **rate)
    params = trained | start["denoiser"]
    return {kind: measure.measure(row, params, clips) for kind, clips in unseen.items()}


def _fresh(row: str, seed: int) -> Params:
    """Draws parameters of the attention, which differ from seed to seed."""
    network = train.row_task(row).source.network
    one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    names = [name for name in network.shapes if name.startswith("lca.")]
    return init_sharded_params(network, jax.random.key(seed), dict.fromkeys(names, one))


def result_file(row: str, seed: int) -> Path:
    """Returns the path of the results of a row and a seed."""
    return Path(WORKDIR.value) / "results" / f"{row}_{seed}.json"


if __name__ == "__main__":
    app.run(main)
