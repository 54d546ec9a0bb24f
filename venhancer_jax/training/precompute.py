"""Encodes training examples once, for objectives that see latents only.

    python -m venhancer_jax.training.precompute --config=configs/train_X.py --output=DIR \
        --examples=1000 --config.data=DATA --config.vae=VAE

Then train with `--config.data=DIR`. Crops, strides and scales are drawn here; noise levels, text
dropout and noise at each use. One process. Exit codes: 0 done, 2 wrong input.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.startup import use_compilation_cache
from venhancer_jax.training.conditioning import Conditioning
from venhancer_jax.training.data import batches
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.one_step import OneStep
from venhancer_jax.training.tasks import task_of

_STORED = ("key_index", "scale", "stride", "tokens")


def main(arguments: Sequence[str]) -> int:
    """Does what the command line says; returns the exit code."""
    try:
        config, values = parse_config(
            __doc__, arguments, "configs/train_debug.py", ("output", "examples")
        )
        if config is None:
            return 0
        if not values["output"] or not (values["examples"] or "").isdigit():
            raise InputError("expected --output=FOLDER and --examples=NUMBER")
        use_compilation_cache()
        precompute(config, Path(values["output"]), int(values["examples"]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def precompute(config: ConfigDict, folder: Path, examples: int) -> None:
    """Writes examples as `LatentSource` reads them, each file whole or not at all.

    Raises:
      InputError: a wrong value, or an objective that needs pixels.
    """
    task = task_of(config, device_mesh(config.mesh))
    if not isinstance(task.objective, Diffusion | OneStep):
        raise InputError(f"objective {config.objective!r} sees pixels: there is nothing to encode")
    conditioning: Conditioning = task.objective.conditioning
    encode = jax.jit(conditioning.example)
    folder.mkdir(parents=True, exist_ok=True)
    # The text is embedded at each use: a part of it is dropped then.
    data = iter(batches(config, config.data, seed=config.seed, workers=config.workers))
    for number, arrays in enumerate(_encoded(encode, task.frozen, data, config.seed)):
        if number == examples:
            break
        path = folder / f"{number:06d}.npz"
        partial = folder / f".{path.name}.part"
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its stub)
        os.replace(partial, path)
    print(f"wrote {examples} examples to {folder}", flush=True)


def _encoded(encode, frozen, data, seed: int) -> Iterator[dict[str, np.ndarray]]:
    for step, batch in enumerate(data):
        key = jax.random.fold_in(jax.random.key(seed), step)
        example = jax.device_get(encode(frozen, batch, key))
        for i in range(len(example.clean)):
            arrays = {name: np.asarray(batch[name][i]) for name in _STORED}
            yield {"video": example.clean[i], "low": example.low[i]} | arrays


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
