import functools
import gc
import os
from collections.abc import Iterator
from importlib.metadata import version

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile more than they compute. XLA refuses flags that it does not know.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_backend_optimization_level=0",
        *[
            "--xla_cpu_use_fusion_emitters=false",
            "--xla_cpu_parallel_codegen_split_count=1",  # the other core has work of its own
        ]
        * version("jaxlib").startswith("0.10."),
        os.environ.get("XLA_FLAGS", ""),
    ]
)

import jax
from jax._src.interpreters import mlir

from benchmarks.measure import release_freed_memory
from venhancer_jax.startup import use_compilation_cache

use_compilation_cache()
# JAX creates a context of MLIR for each program, a quarter of the time that a small one takes.
_ir_context = functools.cache(mlir.make_ir_context)
if version("jaxlib").startswith("0.10."):
    mlir.make_ir_context = _ir_context


# Collections of the many objects of a trace cost a tenth of the time; modules end with one.
gc.set_threshold(100_000, 20, 100)


# Folders whose files take long: they come first, so that both workers end together.
_LONG = ("training", "pipelines", "models", "sharding", "planning", "convert", "cli", "tests")


def pytest_configure(config: pytest.Config) -> None:
    # The files with the fewest tests, which xdist would leave to the end, are the longest.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _LONG.index(folder) if folder in _LONG else len(_LONG)

    items.sort(key=rank)
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_end_with_their_module() -> Iterator[None]:
    # A program of one operation takes as long to store as to compile; commands store them too.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    yield
    jax.clear_caches()
    _ir_context.cache_clear()
    gc.collect()
    gc.freeze()  # the next collection does not visit what is left
    release_freed_memory()
