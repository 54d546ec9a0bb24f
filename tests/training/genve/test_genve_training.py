"""Training of GenVE: where it starts, what moves, its data, and that it resumes."""

from pathlib import Path
from typing import Any

import cv2
import jax
import numpy as np
import pytest
from training.genve_tiny import genve_config, guided_batch
from training.tiny import BATCH, FRAMES

from venhancer_jax.data.augment import AugmentConfig, augment, flows_to
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.genve.options import GenVEOptions
from venhancer_jax.pipelines.genve.system import GenVE
from venhancer_jax.sharding.mesh import device_mesh
from venhancer_jax.training import run
from venhancer_jax.training.data import batch_shapes, batches
from venhancer_jax.training.genve.start import split
from venhancer_jax.training.tasks import export, task_of
from venhancer_jax.training.venhancer.samples import Enhancement
from venhancer_jax.weights import iterate_weights, read_about


def test_a_run_starts_from_venhancers_weights(tiny_weights: Path, tmp_path: Path):
    task = task_of(genve_config(tiny_weights))
    stored = dict(iterate_weights(tiny_weights / "venhancer"))
    params = task.all_params(task.params)

    assert {n for n in params if not n.startswith("lca.")} == stored.keys()
    for name, x in stored.items():
        np.testing.assert_array_equal(params[name], x)
    lca = {n: np.asarray(x) for n, x in params.items() if n.startswith("lca.")}
    assert not lca["lca.fold_patches.kernel"].any() and lca["lca.query.kernel"].std() > 0.01
    assert {n.split(".")[0] for n in task.params} == {"controlnet", "lca"}
    assert {n.split(".")[0] for n in task.frozen["denoiser"]} == {"unet"}
    assert split(params, "all") == (params, {})

    # And from a folder of its own, with nothing fresh.
    moved = {n: x + 1 for n, x in params.items()}
    export(tmp_path / "genve", "genve", task.source.config, moved)
    again = task_of(genve_config(tiny_weights, prior=str(tmp_path / "genve")))
    for name, x in again.all_params(again.params).items():
        np.testing.assert_array_equal(x, moved[name])
    for name, other, stored in (
        ("fusion", "cross", "local"), ("neighbours", 2, 4), ("radius", 3.0, 0)
    ):  # fmt: skip
        config = genve_config(
            tiny_weights, prior=str(tmp_path / "genve"), **{f"reference__{name}": other}
        )
        with pytest.raises(InputError, match=f"holds a network with {name}.*{name}={stored}"):
            task_of(config)


def test_the_attention_is_that_of_the_config(tiny_weights: Path):
    settings = {"fusion": "local", "neighbours": 2, "radius": 3.0}
    changes = {f"reference__{name}": value for name, value in settings.items()}
    sizes = task_of(genve_config(tiny_weights, **changes)).source.config
    assert {name: getattr(sizes, name) for name in settings} == settings
    assert task_of(genve_config(tiny_weights)).source.config.radius is None


def test_a_prior_starts_a_silent_controlnet(tiny_weights: Path):
    config = genve_config(tiny_weights, start="prior", prior=str(tiny_weights / "unet"))
    params = task_of(config).params

    for layer in ("controlnet.zero_convs.", "controlnet.hint_conv.kernel", "lca.fold_patches."):
        found = [x for n, x in params.items() if n.startswith(layer)]
        assert found and not any(np.any(x) for x in found), layer


def test_flows_lead_to_the_key_frame():
    """Of a clip that moves evenly, in latents."""
    rng = np.random.default_rng(0)
    blobs = rng.uniform(0, 255, (12, 12, 3)).astype(np.float32)
    field = cv2.resize(blobs, (144, 144), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    clip = np.stack([field[20:84, 20 + 4 * i : 84 + 4 * i] for i in range(4)])
    flow = flows_to(1, clip, (16, 16))

    assert flow.shape == (4, 16, 16, 2) and flow.dtype == np.float32
    assert not flow[1].any()
    for frame in range(4):
        # What is at a column of frame i is 4 (i - 1) columns further right in frame 1.
        np.testing.assert_allclose(np.median(flow[frame], (0, 1)), [frame - 1, 0], atol=0.1)


def test_examples_have_the_middle_or_a_random_key_frame():
    clip = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    sizes: dict[str, Any] = {"frames": 5, "height": 32, "width": 32, "strides": (1,)}

    def keys(**changes: Any) -> list[int]:
        config = AugmentConfig(**sizes, flow_pixels=4, **changes)
        examples = [augment(clip, "", config, np.random.default_rng(i)) for i in range(12)]
        for example in examples:
            assert example["flow"].shape == (5, 8, 8, 2)
            still = [not flow.any() for flow in example["flow"]]
            assert still[example["key_frame"]]
        return [int(example["key_frame"]) for example in examples]

    assert set(keys(flow_key_frame="middle")) == {2}
    assert set(keys()) > {2}
    # Whatever else is drawn stays as it is without flows.
    plain, flows = (
        augment(clip, "a", AugmentConfig(**sizes, flow_pixels=n), np.random.default_rng(3))
        for n in (0, 4)
    )
    assert flows.keys() - plain.keys() == {"flow", "key_frame"}
    for name, x in plain.items():
        np.testing.assert_array_equal(flows[name], x)


def test_batches_have_the_shapes_that_are_compiled(tiny_weights: Path):
    config = genve_config(tiny_weights)
    found = next(iter(batches(config, "synthetic", seed=0)))

    shapes = batch_shapes(config)
    assert shapes.keys() == found.keys()
    for name, x in found.items():
        assert (shapes[name].shape, shapes[name].dtype) == (x.shape, x.dtype), name
    held_out = next(iter(batches(config, "synthetic", seed=0, held_out=True)))
    assert held_out["key_frame"].tolist() == BATCH * [FRAMES // 2]


def test_a_wrong_preset_is_refused_before_data_is_read(tiny_weights: Path):
    with pytest.raises(InputError, match="preset 'huge': expected one of debug, tiny, demo, genve"):
        batch_shapes(genve_config(tiny_weights, vae="", preset="huge"))


def _write_latents(folder: Path, *, flows: bool = True) -> None:
    folder.mkdir()
    batch = guided_batch(0)
    names = ["video", "low", "scale", "tokens", *(["flow", "key_frame"] if flows else [])]
    for i in range(BATCH):
        arrays = {name: batch[name][i] for name in names}
        keys = {"key_index": np.arange(FRAMES, dtype=np.int32), "stride": np.int32(1)}
        np.savez(folder / f"{i}.npz", **arrays, **keys)  # pyright: ignore[reportArgumentType]


def test_latents_need_flows(tiny_weights: Path, tmp_path: Path):
    _write_latents(tmp_path / "latents", flows=False)
    config = genve_config(tiny_weights, data=str(tmp_path / "latents"))

    with pytest.raises(InputError, match=r"lacks the arrays flow, key_frame: .*system=genve"):
        batch_shapes(config)


def test_batches_resume_exactly(tiny_weights: Path):
    """With their flows and key frames."""
    config = genve_config(tiny_weights)
    data = iter(batches(config, "synthetic", seed=3))
    next(data)
    state = data.get_state()
    after = next(data)
    again = iter(batches(config, "synthetic", seed=3))
    again.set_state(state)
    resumed = next(again)
    for name, x in after.items():
        np.testing.assert_array_equal(resumed[name], x)
    assert after["flow"].any()


def _sampler(config: Any) -> Enhancement:
    task, mesh = task_of(config), device_mesh({}, jax.devices()[:1])
    assert task.sampler is not None
    params = task.params_by_network(task.params)
    return task.sampler(params, mesh=mesh, steps=7, interpolation="previous")  # pyright: ignore


def test_samples_are_those_of_users(tiny_weights: Path):
    sampler = _sampler(genve_config(tiny_weights))
    options = sampler.options
    assert isinstance(sampler.system, GenVE) and isinstance(options, GenVEOptions)
    assert (options.reference, options.flow, options.enlargement) == ("prior", "dis", "bicubic")
    assert (options.steps, options.image_steps, options.guidance_scale) == (7, 7, 7.5)
    sampler.system.check_weights(options)
    without = _sampler(genve_config(tiny_weights, reference__fusion="none"))
    assert without.options.reference == "none"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.slow
def test_a_sample_has_size_and_contrast(tiny_weights: Path):
    config = genve_config(tiny_weights)
    example = {name: x[0] for name, x in next(iter(batches(config, "synthetic", seed=0))).items()}
    sample = _sampler(config)(example)
    assert sample.output.shape == example["video"].shape
    assert sample.output.std() > 1


@pytest.mark.slow
def test_a_run_resumes_exactly_and_leaves_the_unet(tiny_weights: Path, tmp_path: Path):
    """On latents and flows that are computed already."""
    _write_latents(tmp_path / "latents")
    settings = {"data": str(tmp_path / "latents"), "save_every": 10, "ema_decay": 0.0}
    settings["weight_decay"] = 0.0  # what has no gradient stays
    config = genve_config(tiny_weights, steps=50, **settings)
    whole = run.train(config, tmp_path / "whole")
    run.train(genve_config(tiny_weights, steps=20, **settings), tmp_path / "parts")
    parts = run.train(config, tmp_path / "parts")

    assert int(parts.step) == 50
    for name, x in whole.params.items():
        np.testing.assert_array_equal(x, parts.params[name])
    weights, start = (
        dict(iterate_weights(folder))
        for folder in (tmp_path / "whole" / "weights", tiny_weights / "venhancer")
    )
    about = read_about(tmp_path / "whole" / "weights")
    assert about["network"] == "genve" and about["config"]["fusion"] == "local"
    fresh = task_of(config).params
    for name, x in weights.items():
        before = start[name] if name in start else np.asarray(fresh[name])
        if name.startswith("unet."):
            np.testing.assert_array_equal(x, before)
        elif name.startswith("lca.") or ".kernel" in name:
            assert not np.array_equal(x, before), name
