"""Share of a training step that is spent waiting for data, as JSON.

    python -m benchmarks.data_wait --steps=12
    python -m benchmarks.data_wait --config=configs/train_demo_latent.py --steps=40

Trains as the config says in a temporary folder and reads `metrics.jsonl`. Skips the first half of
the steps, in which programs are compiled and queues filled.
"""

import json
import statistics
import tempfile
from pathlib import Path

import jax
from absl import app, flags

from venhancer_jax.command_line import parse_config
from venhancer_jax.startup import use_compilation_cache
from venhancer_jax.training.run import train

CONFIG = flags.DEFINE_string("config", "configs/train_debug.py", "config file")
DATA = flags.DEFINE_string("data", "", "data, in place of the config's")
WORKERS = flags.DEFINE_integer("workers", None, "number of data workers, in place of the config's")
STEPS = flags.DEFINE_integer("steps", 12, "steps of the run")


def main(argv: list[str]) -> None:
    del argv
    use_compilation_cache()
    config, _ = parse_config(None, [f"--config={CONFIG.value}"], CONFIG.value)
    assert config is not None
    with tempfile.TemporaryDirectory() as scratch, config.unlocked():
        config.steps, config.log_every = STEPS.value, 1
        config.save_every, config.validate_every = STEPS.value + 1, 0
        config.data = DATA.value or config.data
        if WORKERS.value is not None:
            config.workers = WORKERS.value
        train(config, scratch)
        lines = (Path(scratch) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines][STEPS.value // 2 :]
    seconds = [record["step_seconds"] for record in records]
    waited = sum(r["step_seconds"] * r["data_wait_share"] for r in records)
    facts = {
        "config": CONFIG.value,
        "data": config.data,
        "workers": config.workers,
        "device": jax.devices()[0].device_kind,
        "steps": len(records),
        "median_step_seconds": statistics.median(seconds),
        "clips_per_second": config.batch * len(records) / sum(seconds),
        "data_wait_share": waited / sum(seconds),
    }
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    app.run(main)
