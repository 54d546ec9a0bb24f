"""Executables in files: the same values without tracing, and none but the right ones."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pipelines.jax_events import COMPILE, TRACE, events

from venhancer_jax.models import catalog
from venhancer_jax.models.clip_text import ClipTextConfig
from venhancer_jax.pipelines import executable_files, fingerprint
from venhancer_jax.pipelines.executable_files import VARIABLE
from venhancer_jax.pipelines.program import Program
from venhancer_jax.sharding.mesh import inference_mesh

TESTS = Path(__file__).parents[1]
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def scaled(power: int, params: dict, x: jax.Array, *, shift: float = 0.0) -> dict[str, jax.Array]:
    return {"sum": (x**power * params["a"]).sum(0) + shift, "sine": jnp.sin(x)}


def with_custom_call(x: jax.Array) -> jax.Array:
    return jnp.linalg.svd(x)[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where executables are kept in this test."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    yield tmp_path / "kept"
    jax.clear_caches()


def run(power: int = 2, x=X, function=scaled, **kwargs) -> dict[str, jax.Array]:
    """A call in what could be another process."""
    jax.clear_caches()
    return Program(function, ("power",))(power, {"a": np.float32(3)}, x, **kwargs)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) if folder.exists() else []


def test_a_second_process_neither_traces_nor_compiles(folder: Path):
    with events() as first:
        made = run(shift=1.0)
    (path,) = files(folder)
    with events() as second:
        again = run(shift=2.0)  # a number is an array: its value changes nothing
    assert first[TRACE] and first[COMPILE]
    assert not second[TRACE] and not second[COMPILE]
    assert re.fullmatch(r"scaled-[0-9a-f]{64}\.executable", path.name)
    plain = scaled(2, {"a": np.float32(3)}, jnp.asarray(X))
    np.testing.assert_allclose(made["sum"], plain["sum"] + 1, rtol=1e-6)
    np.testing.assert_array_equal(again["sum"], made["sum"] + 1)
    np.testing.assert_array_equal(again["sine"], made["sine"])


def test_one_process_looks_once(folder: Path):
    program = Program(scaled, ("power",))
    first = program(2, {"a": np.float32(3)}, X)
    for path in files(folder):
        path.unlink()
    np.testing.assert_array_equal(program(2, {"a": np.float32(3)}, X)["sum"], first["sum"])
    assert files(folder) == []


@pytest.mark.parametrize(
    "change",
    [
        {"power": 3},
        {"x": X[:1]},
        {"x": X.astype(np.float16)},
        {"x": jax.device_put(X, jax.devices()[0])},
        {"shift": 1.0},
        {"shift": np.float32(1.0)},
    ],
    ids=["static", "shape", "dtype", "place", "argument", "weak type"],
)
def test_every_other_call_is_another_program(folder: Path, change: dict):
    run()
    if isinstance(change.get("shift"), np.floating):
        run(shift=1.0)
    before = files(folder)
    assert run(**change)["sum"].shape == (3,)
    assert len(files(folder)) == len(before) + 1


def test_settings_of_jax_matter(folder: Path):
    run()
    with jax.default_matmul_precision("float32"):
        run()
    with jax.enable_x64(True):
        run()
    assert len(files(folder)) == 3


@pytest.mark.parametrize("name", ["package_digest", "processor"])
def test_another_package_or_processor_is_another_program(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    run()
    monkeypatch.setattr(fingerprint, name, lambda: "another one")
    fingerprint.environment.cache_clear()
    run()
    fingerprint.environment.cache_clear()
    assert len(files(folder)) == 2


def test_flags_matter(folder: Path, monkeypatch: pytest.MonkeyPatch):
    run()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    fingerprint.environment.cache_clear()
    run()
    fingerprint.environment.cache_clear()
    assert len(files(folder)) == 2


def test_processors_are_told_apart(tmp_path: Path):
    one = "processor\t: 0\nmodel name\t: A\ncpu MHz\t: 1\nflags\t: sse avx2\n\nprocessor\t: 1\n"
    path = tmp_path / "cpuinfo"
    found = []
    for text in (one, one.replace("MHz\t: 1", "MHz\t: 2"), one.replace(" avx2", "")):
        path.write_text(text)
        found.append(fingerprint.processor(path))
    assert found[0] == found[1] != found[2]
    assert fingerprint.processor(tmp_path / "none")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-100],
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: b"",
        lambda data: b"something else",
    ],
    ids=["cut", "a bit flipped", "empty", "foreign"],
)
def test_broken_files_are_replaced(folder: Path, spoil, caplog: pytest.LogCaptureFixture):
    made = run()
    (path,) = files(folder)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    again = run()
    np.testing.assert_array_equal(again["sum"], made["sum"])
    (told,) = caplog.records
    assert str(path) in told.getMessage() and "is no whole executable" in told.getMessage()
    assert path.read_bytes() != spoil(whole)
    caplog.clear()
    with events() as third:
        run()
    assert not third[TRACE] and not caplog.records


def test_the_file_of_another_program_is_not_run(folder: Path, caplog: pytest.LogCaptureFixture):
    run()
    (first,) = files(folder)
    run(3)
    (second,) = set(files(folder)) - {first}
    second.write_bytes(first.read_bytes())
    np.testing.assert_allclose(run(3)["sum"], 3 * (X**3).sum(0))
    assert "is the executable of another program" in caplog.text


def test_what_xla_cannot_load_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    run()

    def refuses(*args, **kwargs):
        raise ValueError("INTERNAL: no\nmore of it")

    monkeypatch.setattr(executable_files.serialize_executable, "deserialize_and_load", refuses)
    np.testing.assert_allclose(run()["sum"], 3 * (X**2).sum(0))
    (told,) = caplog.records
    assert told.getMessage().endswith("(ValueError: INTERNAL: no): compiling instead")


def test_what_cannot_be_written_is_told_and_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    folder.write_text("a file where the folder should be")
    assert run()["sum"].shape == (3,)
    assert "cannot be kept" in caplog.text
    monkeypatch.setenv(VARIABLE, "0")
    caplog.clear()
    assert run()["sum"].shape == (3,)
    assert not caplog.records


def test_programs_with_functions_of_this_process_are_not_kept(folder: Path):
    """XLA would call an address that nothing was put at."""
    assert Program(with_custom_call)(X).shape == (2,)
    assert files(folder) == []


def test_what_came_from_the_compilation_cache_is_not_kept(folder: Path):
    """Its machine code stays behind when XLA writes it again."""
    jitted = jax.jit(scaled, static_argnames=("power",))
    jitted(2, {"a": np.float32(3)}, X)
    made = Program(scaled, ("power",))(2, {"a": np.float32(3)}, X)
    assert made["sum"].shape == (3,)
    assert files(folder) == []


def test_static_arguments_without_a_name_are_not_kept(folder: Path):
    made = Program(lambda f, x: f(x), ("f",))(jnp.cos, X)
    np.testing.assert_allclose(made, np.cos(X), rtol=1e-6)
    assert files(folder) == []


def test_inside_another_function(folder: Path):
    program = Program(scaled, ("power",))

    def loss(x: jax.Array) -> jax.Array:
        return program(2, {"a": np.float32(3)}, x)["sum"].sum()

    np.testing.assert_allclose(jax.grad(loss)(X), 6 * X)
    assert jax.eval_shape(loss, X).shape == ()
    assert files(folder) == []


def test_networks_are_told_apart_by_their_configs():
    small, large = (ClipTextConfig.tiny(layers=layers) for layers in (1, 2))
    texts = [fingerprint.of_static(catalog.build("text", c)) for c in (small, small, large)]
    assert texts[0] == texts[1] != texts[2]


def test_what_has_no_name():
    for value in (lambda: 0, object(), functools.partial(lambda: 0)):
        with pytest.raises(fingerprint.NoFingerprintError):
            fingerprint.of_static(value)


def on_mesh() -> None:
    """Prints what happens for a sharded call on all devices; keeps the values."""
    mesh = inference_mesh()
    sharding = jax.NamedSharding(mesh, jax.P("context"))
    x = jax.device_put(np.arange(32.0, dtype=np.float32).reshape(8, 4), sharding)
    one = jax.device_put(np.arange(32.0, dtype=np.float32).reshape(8, 4), jax.devices()[3])
    program = Program(scaled, ("power",))
    with events() as seen:
        with jax.set_mesh(mesh):
            split = program(3, {"a": np.float32(3)}, x)
        single = program(3, {"a": np.float32(3)}, one)
        assert single["sine"].devices() == {jax.devices()[3]}
        assert split["sine"].sharding.is_equivalent_to(sharding, 2)
        np.testing.assert_allclose(split["sum"], single["sum"], rtol=1e-6)
    print(f"traces={seen[TRACE]} sum={np.asarray(split['sum']).tolist()}")


def test_another_process_with_eight_devices(tmp_path: Path):
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    environment.pop(VARIABLE, None)
    code = "from pipelines.test_kept_programs import on_mesh; on_mesh()"
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment, check=True, timeout=300, capture_output=True, text=True,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert told[0][0] != "traces=0"
    assert told[1] == ["traces=0", *told[0][1:]]
    assert len(files(tmp_path / "cache" / "executables")) == 2
