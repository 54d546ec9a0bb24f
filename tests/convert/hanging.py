"""A conversion that waits to be killed, in a process of its own."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from venhancer_jax import weights
from venhancer_jax.convert import checkpoint, fetch
from venhancer_jax.models.text.clip import ClipTextConfig
from venhancer_jax.startup import CACHE_VARIABLE


def convert_and_hang(source: Path, mark: Path, cache: Path) -> None:
    """Converts some layers to groups, touches a file, and waits."""
    os.environ[CACHE_VARIABLE] = str(cache)
    converted, convert = checkpoint._converted, fetch.convert

    def hang(*arguments: Any) -> Iterator[Any]:
        for i, item in enumerate(converted(*arguments)):
            yield item
            if i == 5:
                mark.touch()
                time.sleep(600)

    config = ClipTextConfig.tiny(vocabulary=11, length=7, width=8, heads=2, layers=2)
    checkpoint._converted = hang
    weights.GROUP_BYTES = 100
    fetch.convert = lambda *a, **options: convert(*a, **options | {"config": config})
    fetch.weights_of("text", str(source))
