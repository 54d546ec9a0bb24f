"""Pictures and videos of what a network in training makes."""

import contextlib
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath
from pipelines.tiny_system import random_params
from training.tiny import CONFIGS, tiny_config

from venhancer_jax.data.augment import AugmentConfig, augment
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.system import LoadedNetwork
from venhancer_jax.pipelines.text import TextFeatures
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.tasks import Sample, Task, task_of
from venhancer_jax.training.validation import Validation, picture_of
from venhancer_jax.training.venhancer.objectives import OneStep
from venhancer_jax.training.venhancer.samples import Enhancement, make_sampler
from venhancer_jax.video.reading.probe import probe
from venhancer_jax.video.reading.read import read_frames

FRAMES, SIDE = 5, 16


def _example(stride: int) -> dict[str, np.ndarray]:
    config = AugmentConfig(frames=FRAMES, height=SIDE, width=SIDE, strides=(stride,), scales=(2.0,))
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, SIDE, SIDE, 3), np.uint8)
    return augment(frames, "a clip", config, np.random.default_rng(1))


class _Recorder:
    """Stands in for a system: notes what it is asked for, and gives frames that count up."""

    on_mesh = contextlib.nullcontext

    def __init__(self):
        config = CONFIGS["text"]
        network = catalog.build("text", config)
        params = random_params(network)
        self.text = TextFeatures(config, lambda: LoadedNetwork(config, network, params))

    def enhance(self, frames, *, rate, options, text):
        self.keys = np.stack([*frames])
        self.options, self.text_shape = options, text.shape
        for i in range(len(self.keys) * int(options.target_fps / rate)):
            yield np.full((*options.target_size, 3), i, np.uint8)


@pytest.mark.parametrize(("stride", "keys", "shown"), [(1, 5, 5), (2, 3, 5), (3, 2, 4)])
def test_key_frames_are_given_as_small_as_they_were(stride: int, keys: int, shown: int):
    system, example = _Recorder(), _example(stride)
    sample = Enhancement(system, VEnhancerOptions(guidance_scale=1.0))(example)  # pyright: ignore

    assert system.keys.shape == (keys, SIDE // 2, SIDE // 2, 3)
    assert system.options.target_size == (SIDE, SIDE)
    assert system.options.noise_aug == example["noise_aug"]
    assert system.text_shape[0] == 1
    assert sample.output[:, 0, 0, 0].tolist() == [*range(shown)]
    np.testing.assert_array_equal(sample.target, example["video"][:shown])
    np.testing.assert_array_equal(sample.input, example["low"][:shown])


def test_what_was_enlarged_is_made_small_again():
    smooth = np.linspace(0, 255, SIDE // 2)
    small = np.broadcast_to(smooth[None, :, None, None], (1, SIDE // 2, SIDE // 2, 3))
    from venhancer_jax.data.resample import resample

    low = np.rint(resample(small.astype(np.float32), (SIDE, SIDE))).astype(np.uint8)
    again = Enhancement(_Recorder(), VEnhancerOptions())._key_frames(low, 2.0)  # pyright: ignore

    # Within rounding, but for the edges, where enlarging repeats pixels.
    assert np.abs(again[0, 1:-1].astype(float) - small[0, 1:-1]).max() <= 1


def test_each_objective_is_sampled_as_it_is_trained(tiny_task: Task):
    assert isinstance(tiny_task.objective, Diffusion)
    conditioning, sources = tiny_task.objective.conditioning, tiny_task.sources
    params = tiny_task.params_by_network(tiny_task.params)
    mesh = device_mesh({}, jax.devices()[:1])
    many = make_sampler(
        sources, Diffusion(conditioning), params, mesh=mesh, steps=7, interpolation="previous"
    )
    one = make_sampler(
        sources, OneStep(conditioning, start=80), params, mesh=mesh, steps=7, interpolation="flow"
    )

    for options in (many.options, one.options):
        assert (options.solver, options.solver_mode) == ("ddim", "normal")
    assert (many.options.steps, many.options.noise_levels) == (7, 900)
    assert (many.options.start_noise, many.options.guidance_scale) == (1, 7.5)
    assert (one.options.steps, one.options.noise_levels) == (1, 81)
    assert (one.options.start_noise, one.options.guidance_scale) == (0, 1)
    assert (many.options.interpolation, one.options.interpolation) == ("previous", "flow")
    # The arrays in training themselves: nothing is gathered or copied.
    assert many.system.mesh is mesh
    for name, x in tiny_task.params.items():
        assert many.system.denoiser.params[name] is x


@pytest.mark.slow
def test_a_sample_has_size_and_contrast(tiny_task: Task):
    assert isinstance(tiny_task.objective, Diffusion)
    objective = OneStep(tiny_task.objective.conditioning, start=80)
    params = tiny_task.params_by_network(tiny_task.params)
    mesh = device_mesh({}, jax.devices()[:1])
    one = make_sampler(
        tiny_task.sources, objective, params, mesh=mesh, steps=7, interpolation="flow"
    )
    sample = one(_example(2))
    assert sample.output.shape == (FRAMES, SIDE, SIDE, 3)
    assert sample.output.std() > 1


def test_validation_of_a_vae_leaves_pictures_and_videos(tmp_path: Path, tiny_weights: Path):
    mesh = device_mesh({"data": -1}, jax.devices()[:1])
    task = task_of(tiny_config(tiny_weights, {"objective": "autoencoder"}), mesh)
    params = task.params
    batch = {name: np.stack([x, x]) for name, x in _example(1).items()}
    validation = Validation(
        task,
        iter([batch, batch]),  # pyright: ignore[reportArgumentType]
        mesh=mesh,
        clips=3,
        batch=2,
        seed=0,
        steps=1,
        folder=epath.Path(tmp_path) / "samples",
    )
    shown = {}

    class Board:
        def picture(self, name: str, picture: np.ndarray, step: int) -> None:
            shown[name] = picture.shape, step

    validation.sample(params, 7, Board())  # pyright: ignore[reportArgumentType]
    first = validation.measure(params)

    names = sorted(f.name for f in (tmp_path / "samples" / "7").iterdir())
    assert names == ["00.mp4", "00.png", "01.mp4", "01.png", "02.mp4", "02.png"]
    assert shown == {f"samples/{i:02d}": ((4 * SIDE, 3 * SIDE, 3), 7) for i in range(3)}
    frames = [*read_frames(probe(tmp_path / "samples" / "7" / "00.mp4"))]
    assert np.stack(frames).shape == (FRAMES, SIDE, 3 * SIDE, 3)
    again = validation.measure(params)
    assert first.keys() == again.keys() > {"validation_loss", "validation_pixel_error"}
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_a_picture_shows_given_made_and_target_of_some_frames():
    clips = [
        np.full((9, 2, 3, 3), 10 * i, np.uint8) + np.arange(9, dtype=np.uint8)[:, None, None, None]
        for i in (1, 2, 3)
    ]
    picture = picture_of(Sample(*clips))

    assert picture.shape == (4 * 2, 3 * 3, 3)
    assert picture[::2, ::3, 0].tolist() == [[10 + i, 20 + i, 30 + i] for i in (0, 2, 5, 8)]
