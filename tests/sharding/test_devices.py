"""The same clip on one device, on several, and on several processes."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sharding.clip_on_devices import Cases, enhanced, gradients, start_together, write
from training import forked

from venhancer_jax.errors import InputError
from venhancer_jax.sharding.mesh import constrain, inference_mesh

# Eight devices in all: the guidance pair on two, frames that the devices do not divide on four.
QUICK: Cases = {"guided": {"frames": 3, "mesh": {}}}
CASES: Cases = {
    "frames": {"frames": 8, "mesh": {"data": 1, "context": 8}},
    "uneven": {"frames": 5, "mesh": {"data": 1, "context": 8}},
    "unguided": {"frames": 5, "mesh": {}, "guidance_scale": 1.0},
    "rows": {"frames": 5, "mesh": {"data": 2, "context": 2, "rows": 2}},
    "windows": {"frames": 8, "mesh": {"data": 4, "context": 2}, "window": 3},
}
TOGETHER: Cases = {"processes": {"frames": 5, "mesh": {}}}


def arrays_on_eight(folder: Path, cases: Cases) -> dict[str, np.ndarray]:
    """Enhances clips in a process with eight devices."""
    path = folder / "eight.npz"
    forked.run(folder / "output.txt", write, path, cases, devices=8)
    return dict(np.load(path))


@pytest.fixture(scope="module")
def on_eight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return arrays_on_eight(tmp_path_factory.mktemp("devices"), QUICK)


@pytest.fixture(scope="module")
def on_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("processes")
    paths = [folder / f"{i}.npz" for i in range(2)]
    forked.finish(start_together(paths, TOGETHER, devices=4))
    return [dict(np.load(path)) for path in paths]


def assert_as_on_one(found: dict[str, np.ndarray], name: str, cases: Cases) -> None:
    case = {key: value for key, value in cases[name].items() if key != "mesh"}
    one = enhanced(**case)
    np.testing.assert_array_equal(found[f"{name} noise"], one["noise"])
    for kind in ("latents", "pixels"):
        difference = np.linalg.norm(found[f"{name} {kind}"] - one[kind])
        assert difference < 1e-5 * np.linalg.norm(one[kind]), kind
    assert one["bytes"].shape == (case["frames"], 24, 32, 3)
    assert np.abs(found[f"{name} bytes"].astype(int) - one["bytes"]).max() <= 1


def test_eight_devices_compute_what_one_computes(on_eight: dict[str, np.ndarray]):
    assert on_eight["devices"] == 8
    assert_as_on_one(on_eight, "guided", QUICK)


@pytest.mark.slow
def test_every_mesh_computes_what_one_device_computes(tmp_path: Path):
    found = arrays_on_eight(tmp_path, CASES)
    for name in CASES:
        assert_as_on_one(found, name, CASES)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(on_two_processes: list[dict[str, np.ndarray]]):
    for found in on_two_processes:
        assert found["devices"] == 8
        assert_as_on_one(found, "processes", TOGETHER)


def test_gradients_are_those_of_one_device(on_eight: dict[str, np.ndarray]):
    for name, gradient in gradients().items():
        found = on_eight[f"gradient {name}"]
        np.testing.assert_allclose(found, gradient, atol=1e-5 * np.abs(gradient).max() + 1e-9)


@pytest.mark.parametrize(
    ("devices", "sizes", "shape"),
    [
        (1, {}, (1, 1, 1, 1)),
        (7, {}, (1, 1, 7, 1)),
        (8, {}, (2, 1, 4, 1)),
        (8, {"rows": 2}, (2, 1, 2, 2)),
        (8, {"fsdp": 2}, (1, 2, 4, 1)),
        (8, {"data": 8}, (8, 1, 1, 1)),
        (256, {}, (16, 1, 16, 1)),
    ],
)
def test_axes_of_a_mesh(devices: int, sizes: dict[str, int], shape: tuple[int, ...]):
    mesh = inference_mesh([object()] * devices, sizes)
    assert tuple(mesh.shape.values()) == shape


def test_short_windows_leave_devices_to_more_of_them():
    """A device has at least two frames of a window."""
    assert inference_mesh([object()] * 32, window=8).shape["context"] == 4


def test_sizes_have_to_use_all_devices():
    with pytest.raises(InputError, match="does not use all of the 8 devices"):
        inference_mesh([object()] * 8, {"data": 3})
    with pytest.raises(InputError, match="does not use all of the 8 devices"):
        inference_mesh([object()] * 8, {"rows": 3})


def test_constrain_wants_an_axis_for_each_dimension():
    x = jnp.zeros((2, 8, 3))
    for axes in (("batch", "frame"), ("batch", "frame", None, None)):
        with pytest.raises(ValueError, match=rf"{len(axes)} logical axes .* for shape \(2, 8, 3\)"):
            constrain(x, axes)


def test_constrain_does_nothing_without_a_mesh():
    x = jnp.zeros((2, 8, 3))
    assert constrain(x, ("batch", "frame", None)) is x
