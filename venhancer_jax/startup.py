"""Settings of JAX that every command line wants."""

import os
from pathlib import Path

import jax

from venhancer_jax.errors import InputError

CACHE_VARIABLE = "VENHANCER_JAX_CACHE"


def cache_folder() -> Path:
    """What is made once and kept: `$VENHANCER_JAX_CACHE` or a folder in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "venhancer_jax"


def use_compilation_cache(folder: str | os.PathLike | None = None) -> None:
    """Keeps compiled programs between runs in JAX's compilation cache.

    Args:
      folder: local or `gs://`; by default what `JAX_COMPILATION_CACHE_DIR` says, or else
        `compiled` in `cache_folder()`. Executables are in `programs` there
        (`pipelines.executable_files`).
    """
    if folder is not None or "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = folder or cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", os.fspath(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def set_compile_effort(effort: float) -> None:
    """How much the compiler tries to make programs fast; on TPU less of it compiles much sooner.

    Args:
      effort: from -1, for trying things, to 1; 0 is what JAX does.

    Raises:
      InputError: out of range.
    """
    if not -1 <= effort <= 1:
        raise InputError(f"compile_effort {effort}: expected a number from -1 to 1")
    jax.config.update("jax_exec_time_optimization_effort", effort)
