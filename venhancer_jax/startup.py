"""Settings of JAX for all commands: compilation cache and compiler effort."""

import os
from pathlib import Path

import jax

from venhancer_jax.errors import InputError

CACHE_VARIABLE = "VENHANCER_JAX_CACHE"


def cache_folder() -> Path:
    """Returns the folder of cached files: `$VENHANCER_JAX_CACHE`, or one in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "venhancer_jax"


def use_compilation_cache(folder: str | os.PathLike | None = None) -> None:
    """Turns on JAX's compilation cache, which keeps compiled programs between runs.

    Args:
      folder: cache folder, local or `gs://`; by default `$JAX_COMPILATION_CACHE_DIR`, or else
        `compiled` in `cache_folder()`.
    """
    if folder is not None or "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = folder or cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", os.fspath(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def set_compile_effort(effort: float) -> None:
    """Sets the effort of the compiler; with less a TPU program compiles sooner and runs slower.

    Args:
      effort: effort from -1 (least) to 1 (most); 0 is the default of JAX.

    Raises:
      InputError: effort out of range.
    """
    if not -1 <= effort <= 1:
        raise InputError(f"compile_effort {effort}: expected a number from -1 to 1")
    jax.config.update("jax_exec_time_optimization_effort", effort)
