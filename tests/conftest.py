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
        *["--xla_cpu_use_fusion_emitters=false"] * version("jaxlib").startswith("0.10."),
        os.environ.get("XLA_FLAGS", ""),
    ]
)

import jax

from benchmarks.measure import release_freed_memory
from venhancer_jax.startup import use_compilation_cache

use_compilation_cache()


# Collections of the many objects of a trace cost a tenth of the time; modules end with one.
gc.set_threshold(100_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The longest folder comes first, so that both workers end together.
    items.sort(key=lambda item: item.path.parent.name != "training")
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _compiled_programs_end_with_their_module() -> Iterator[None]:
    yield
    jax.clear_caches()
    gc.collect()
    release_freed_memory()
