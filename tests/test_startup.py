"""Where compiled programs are stored, and that they are used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from venhancer_jax.errors import InputError
from venhancer_jax.startup import CACHE_VARIABLE, set_compile_effort, use_compilation_cache

TESTS = Path(__file__).parent
RUN = """
import json, sys
from pipelines.jax_events import events
from venhancer_jax.startup import use_compilation_cache
use_compilation_cache(sys.argv[1])
{program}
with events() as seen:
    total = int(compute().sum())
print(json.dumps({{"total": total}} | seen))
"""
PRODUCT = """
import jax, jax.numpy as jnp
compute = lambda: jax.jit(lambda x: x @ x)(jnp.ones((3, 3)))
"""
ENHANCEMENT = "from pipelines.test_venhancer import enhance as compute"


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Records settings of JAX in place of changing them."""
    values = {}
    monkeypatch.setattr(jax.config, "update", lambda name, value: values.update({name: value}))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, "/cache")
    return values


@pytest.mark.parametrize(
    ("folder", "variable", "expected"),
    [
        (None, None, "/cache/compiled"),
        ("here", None, "here"),
        (Path("here"), "gs://bucket/there", "here"),
        ("gs://bucket/folder", None, "gs://bucket/folder"),
        (None, "gs://bucket/there", None),
    ],
)
def test_folders(chosen: dict, monkeypatch: pytest.MonkeyPatch, folder, variable, expected):
    if variable:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", variable)
    use_compilation_cache(folder)
    assert chosen.get("jax_compilation_cache_dir") == expected


def test_effort_arrives(chosen: dict):
    set_compile_effort(-0.5)
    assert chosen["jax_exec_time_optimization_effort"] == -0.5
    with pytest.raises(InputError, match=r"compile_effort -2: expected a number from -1 to 1"):
        set_compile_effort(-2)


@pytest.mark.parametrize(
    "program", [PRODUCT, pytest.param(ENHANCEMENT, marks=pytest.mark.slow)], ids=["one", "clip"]
)
def test_a_second_run_compiles_nothing(program: str, tmp_path: Path):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-c", RUN.format(program=program), str(tmp_path / "cache")]
    first, second = (
        json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
        for _ in range(2)
    )
    misses, hits = "/jax/compilation_cache/cache_misses", "/jax/compilation_cache/cache_hits"
    assert second["total"] == first["total"]
    assert first[misses] > 0
    assert misses not in second
    # All that XLA was asked for came out of the cache.
    assert second["/jax/core/compile/backend_compile_duration"] == second[hits]
