"""Weight folders: whole or not at all, and exactly what was saved."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax import weights
from venhancer_jax.errors import InputError
from venhancer_jax.weights import (
    is_weights,
    iterate_weights,
    load_weights,
    read_about,
    save_weights,
)

rng = np.random.default_rng(0)
PARAMS = {
    "b.kernel": rng.standard_normal((3, 5), np.float32),
    "a.kernel": rng.standard_normal((2, 2, 4)).astype(np.float16),
    "a.bias": rng.standard_normal(4).astype(jnp.bfloat16),
    "scale": np.array(2.5, np.float32),
}
ABOUT = {"network": "toy", "config": {"width": 3, "channels": [1, 2]}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "toy"
    save_weights(folder, PARAMS.items(), ABOUT)
    return folder


def shapes(**changes: jax.ShapeDtypeStruct) -> dict[str, jax.ShapeDtypeStruct]:
    return {n: jax.ShapeDtypeStruct(x.shape, x.dtype) for n, x in PARAMS.items()} | changes


def assert_same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, x in expected.items():
        assert found[name].dtype == x.dtype, name
        np.testing.assert_array_equal(np.asarray(found[name]), x, err_msg=name)


def test_round_trip(saved: Path):
    found = load_weights(saved, shapes())
    assert all(isinstance(x, jax.Array) for x in found.values())
    assert_same(found, PARAMS)
    assert_same(dict(iterate_weights(saved)), PARAMS)
    assert read_about(saved) == ABOUT


def test_cast_on_load(saved: Path):
    wanted = {n: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for n, x in PARAMS.items()}
    assert_same(load_weights(saved, wanted), {n: x.astype(jnp.bfloat16) for n, x in PARAMS.items()})


def test_part_of_the_parameters(saved: Path):
    wanted = {"a.bias": shapes()["a.bias"]}
    assert_same(load_weights(saved, wanted), {"a.bias": PARAMS["a.bias"]})


def test_placed_as_asked(saved: Path):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("data",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    found = load_weights(saved, shapes(), sharding=sharding)
    assert {x.sharding for x in found.values()} == {sharding}


def test_missing_names_are_counted_and_the_first_is_named(saved: Path):
    extra = {name: jax.ShapeDtypeStruct((1,), jnp.float32) for name in ("z", "c")}
    with pytest.raises(InputError, match=r"toy lacks 2 of 6 parameters, first 'c'"):
        load_weights(saved, shapes(**extra))


def test_wrong_shape_is_named(saved: Path):
    wanted = shapes(**{"b.kernel": jax.ShapeDtypeStruct((5, 3), jnp.float32)})
    with pytest.raises(InputError, match=r"toy: b.kernel is \(3, 5\), the network has \(5, 3\)"):
        load_weights(saved, wanted)


def test_a_lost_group_is_named(tmp_path: Path):
    save_weights(tmp_path / "toy", PARAMS.items(), ABOUT)
    shutil.rmtree(tmp_path / "toy" / "groups" / "0000")
    with pytest.raises(InputError, match="toy/groups/0000 is missing or broken: convert"):
        load_weights(tmp_path / "toy", shapes())


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None])
def test_what_is_no_weight_folder_is_not_loaded(tmp_path: Path, make):
    make(tmp_path / "other")
    with pytest.raises(InputError, match="other holds no converted weights"):
        load_weights(tmp_path / "other", shapes())


def test_foreign_folders_are_not_replaced(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="mine exists and holds no weights"):
        save_weights(tmp_path / "mine", PARAMS.items(), ABOUT)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert os.listdir(tmp_path) == ["mine"]


def failing() -> Iterator[tuple[str, np.ndarray]]:
    yield "new", np.ones(600, np.float32)
    yield "newer", np.ones(600, np.float32)
    raise KeyboardInterrupt


def test_failure_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        save_weights(tmp_path / "toy", failing(), ABOUT)
    assert os.listdir(tmp_path) == []


def test_failure_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "GROUP_BYTES", 1000)  # a group is on disk when it fails
    save_weights(tmp_path / "toy", PARAMS.items(), ABOUT)
    with pytest.raises(KeyboardInterrupt):
        save_weights(tmp_path / "toy", failing(), {"network": "new"})
    assert os.listdir(tmp_path) == ["toy"]
    assert read_about(tmp_path / "toy") == ABOUT
    assert_same(load_weights(tmp_path / "toy", shapes()), PARAMS)


def test_old_weights_are_replaced(tmp_path: Path):
    save_weights(tmp_path / "toy", PARAMS.items(), ABOUT)
    new = {"c": np.arange(3, dtype=np.float32)}
    save_weights(tmp_path / "toy", new.items(), {"network": "new"})
    assert os.listdir(tmp_path) == ["toy"]
    assert read_about(tmp_path / "toy") == {"network": "new"}
    assert_same(dict(iterate_weights(tmp_path / "toy")), new)


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save_weights("new/toy", PARAMS.items(), ABOUT)
    assert is_weights(tmp_path / "new" / "toy")
    assert_same(load_weights("new/toy", shapes()), PARAMS)
    assert_same(dict(iterate_weights("new/toy")), PARAMS)


def test_groups_bound_what_is_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(weights, "GROUP_BYTES", 1000)
    written = []

    def items() -> Iterator[tuple[str, np.ndarray]]:
        for i, size in enumerate((400, 400, 400, 1200, 4, 996)):
            # What was given before is on disk, but for one group.
            written.append(len(list(tmp_path.glob(".toy.*/groups/0*"))))
            yield f"p{i}", np.full(size // 4, i, np.float32)

    save_weights(tmp_path / "toy", items(), ABOUT)
    groups = sorted(path.name for path in (tmp_path / "toy" / "groups").iterdir())
    assert groups == ["0000", "0001", "0002", "0003"]  # p0 p1, p2, p3, p4 p5
    assert written == [0, 0, 0, 1, 2, 3]
    found = dict(iterate_weights(tmp_path / "toy"))
    assert list(found) == [f"p{i}" for i in range(6)]
    assert all((x == i).all() for i, x in enumerate(found.values()))
    assert len(load_weights(tmp_path / "toy", {"p5": jax.ShapeDtypeStruct((249,), "f4")})) == 1


@pytest.mark.parametrize(
    "content", [b"", b'{"about": {}}', b'{"about": {}, "groups": {"0": [1]}}', b"\xff\xfe", b"[]"]
)
def test_damaged_indices(content: bytes, saved: Path, tmp_path: Path):
    folder = shutil.copytree(saved, tmp_path / "toy")
    (folder / "weights.json").write_bytes(content)
    for read in (read_about, lambda folder: load_weights(folder, shapes())):
        with pytest.raises(InputError, match=r"weights\.json: damaged\. Copy, download or convert"):
            read(folder)


def test_damaged_groups(saved: Path, tmp_path: Path):
    """Each of the files of Orbax in turn: words for people, or it was not needed."""
    problems = []
    for original in sorted(path for path in saved.rglob("groups/**/*") if path.is_file()):
        folder = shutil.copytree(saved, tmp_path / "toy")
        file = folder / original.relative_to(saved)
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
        try:
            assert_same(load_weights(folder, shapes()), PARAMS)
        except InputError as error:
            problems.append(str(error))
        shutil.rmtree(folder)
    assert len(problems) > 1
    assert all("groups/0000" in problem and "again" in problem for problem in problems)
