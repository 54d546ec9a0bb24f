"""The same clip on one device and on eight, which a process of their own forces on a processor."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from venhancer_jax.diffusion.noise import CounterNoise
from venhancer_jax.pipelines.options import EnhanceOptions
from venhancer_jax.sharding.mesh import constrain, inference_mesh

TESTS = Path(__file__).parents[1]
# Frames are split over four of the eight devices, the guidance pair over two: 5 and 1 do not fit.
CASES = {"guided": {"guidance_scale": 3.0}, "unguided": {"guidance_scale": 1.0}}


def results() -> dict[str, np.ndarray]:
    """Noise, latents and frames of 5 frames on all devices there are."""
    from pipelines.tiny_system import clip, tiny_system

    system = tiny_system(mesh=inference_mesh() if jax.device_count() > 1 else None)
    made = {"noise": np.asarray(CounterNoise(3)("start", 0, (1, 5, 12, 16, 4)))}
    for name, changes in CASES.items():
        options = EnhanceOptions(up_scale=1.0, solver_mode="normal", steps=2, **changes)
        clip_of = {"frames": clip(5), "rate": Fraction(10), "options": options}
        made[f"{name} frames"] = np.stack([*system.enhance(**clip_of)]).astype(np.float32)
        with system._on_devices():
            made[f"{name} sharded noise"] = CounterNoise(3)("start", 0, (1, 5, 12, 16, 4))
            latents, space, _ = system.denoised(
                **clip_of, noise=CounterNoise(3), text=None, progress=lambda *_: None
            )
        made[f"{name} latents"] = np.asarray(latents)
        pieces = [np.asarray(piece) for piece in system.frames_of(latents, space)]
        made[f"{name} pixels"] = np.concatenate(pieces)
    return made


def mesh_facts() -> dict[str, np.ndarray]:
    """What there is to know of meshes of many devices."""
    with jax.set_mesh(inference_mesh()):
        video = jax.jit(lambda x: constrain(x, ("batch", "frame", None)))(jnp.zeros((2, 8, 3)))
    assert video.sharding.is_equivalent_to(
        jax.NamedSharding(inference_mesh(), PartitionSpec("data", "context")), 3
    )
    return {
        "devices": np.array(jax.device_count()),
        "even": np.array([*inference_mesh().shape.values()]),
        "odd": np.array([*inference_mesh(jax.devices()[:7]).shape.values()]),
    }


@pytest.fixture(scope="module")
def on_eight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    path = tmp_path_factory.mktemp("devices") / "eight.npz"
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
    }
    command = [sys.executable, __file__, str(path)]
    subprocess.run(command, env=environment, check=True, timeout=600)
    with np.load(path) as file:
        return dict(file)


def test_meshes(on_eight: dict[str, np.ndarray]):
    assert on_eight["devices"] == 8
    assert on_eight["even"].tolist() == [2, 1, 4, 1]
    assert on_eight["odd"].tolist() == [1, 1, 7, 1]


def test_eight_devices_give_what_one_gives(on_eight: dict[str, np.ndarray]):
    on_one = results()
    np.testing.assert_array_equal(on_eight["noise"], on_one["noise"])
    for case in CASES:
        np.testing.assert_array_equal(on_eight[f"{case} sharded noise"], on_one["noise"])
        for kind in ("latents", "pixels"):
            one, eight = on_one[f"{case} {kind}"], on_eight[f"{case} {kind}"]
            assert np.linalg.norm(eight - one) < 1e-4 * np.linalg.norm(one), (case, kind)
        one, eight = on_one[f"{case} frames"], on_eight[f"{case} frames"]
        assert one.shape == (5, 24, 32, 3)
        assert np.abs(eight - one).max() <= 1


def test_constrain_wants_an_axis_for_each_dimension():
    x = jnp.zeros((2, 8, 3))
    for axes in (("batch", "frame"), ("batch", "frame", None, None)):
        with pytest.raises(ValueError, match=rf"{len(axes)} logical axes .* for shape \(2, 8, 3\)"):
            constrain(x, axes)


def test_constrain_does_nothing_without_a_mesh():
    x = jnp.zeros((2, 8, 3))
    assert constrain(x, ("batch", "frame", None)) is x


if __name__ == "__main__":
    from venhancer_jax.startup import use_compilation_cache

    use_compilation_cache()
    np.savez(sys.argv[1], **results(), **mesh_facts())
