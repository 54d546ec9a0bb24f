"""Encodes training examples once, for objectives that see latents only.

    python -m venhancer_jax.training.precompute --config=configs/train_X.py --output=DIR \
        --examples=1000 --config.data=DATA --config.vae=VAE

Then train with `--config.data=DIR`. Crops, strides, scales and key frames are drawn here; noise
levels, text dropout and noise at each use. One process. Exit codes: 0 done, 2 wrong input.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from venhancer_jax.command_line import parse_config
from venhancer_jax.errors import InputError
from venhancer_jax.files import atomic_file
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.startup import use_compilation_cache
from venhancer_jax.training.config import TRAIN_SETTINGS, checked_config
from venhancer_jax.training.data import batches
from venhancer_jax.training.tasks import task_of

_STORED = ("key_index", "scale", "stride", "tokens", "flow", "key_frame")


def main(arguments: Sequence[str]) -> int:
    """Precomputes as the command line says; returns the exit code."""
    try:
        config, values = parse_config(
            __doc__,
            arguments,
            "train_debug",
            ("output", "examples"),
            settings=lambda config: TRAIN_SETTINGS,
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
    """Writes examples as `LatentSource` reads them; each file appears whole or not at all.

    Args:
      config: config of `training_config`.
      folder: folder of `.npz` files.
      examples: number of examples.

    Raises:
      InputError: a wrong value, or an objective that needs pixels.
    """
    config = checked_config(config)
    task = task_of(config, device_mesh(config.mesh))
    if task.encode is None:
        raise InputError(f"objective {config.objective!r} sees pixels: there is nothing to encode")
    encode = jax.jit(task.encode)
    folder.mkdir(parents=True, exist_ok=True)
    # The text is embedded at each use: some texts are dropped then.
    data = iter(batches(config, config.data, seed=config.seed, workers=config.workers))
    for number, arrays in enumerate(_encoded(encode, task.frozen, data, config.seed)):
        if number == examples:
            break
        with (
            atomic_file(folder / f"{number:06d}.npz") as partial,
            partial.open("wb") as file,
        ):
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its stub)
    print(f"wrote {examples} examples to {folder}", flush=True)


def _encoded(encode, frozen, data, seed: int) -> Iterator[dict[str, np.ndarray]]:
    for step, batch in enumerate(data):
        key = jax.random.fold_in(jax.random.key(seed), step)
        stored = {name: batch[name] for name in _STORED if name in batch}
        stored |= jax.device_get(encode(frozen, batch, key))
        for i in range(len(stored["video"])):
            yield {name: np.asarray(x[i]) for name, x in stored.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
