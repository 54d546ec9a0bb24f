"""What training does to the reference: noise, then warp, then mask, and at times no reference."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.genve_tiny import genve_config, guided_batch
from training.tiny import BATCH, FRAMES, SIDE, on_devices

from venhancer_jax.errors import InputError
from venhancer_jax.training.diffusion import Diffusion
from venhancer_jax.training.genve.conditioning import Conditioning, Example
from venhancer_jax.training.tasks import Task, task_of
from venhancer_jax.training.venhancer import conditioning as venhancer

KEY = jax.random.key(5)
LATENTS = SIDE // 2


@pytest.fixture(scope="module")
def genve(tiny_weights: Path) -> Task:
    return task_of(genve_config(tiny_weights))


@pytest.fixture(scope="module")
def draw(genve: Task) -> Callable[..., Example]:
    """The example of a batch, with changes of the conditioning."""
    assert isinstance(genve.objective, Diffusion)
    conditioning = genve.objective.conditioning
    assert isinstance(conditioning, Conditioning)
    data = on_devices(guided_batch(0))

    def example(key: jax.Array = KEY, **changes) -> Example:
        changed = dataclasses.replace(conditioning, **changes)
        return changed.example(genve.frozen, data, key)

    return example


PLAIN = {"noise": False, "temporal": False, "mask": 0.0, "dropout": 0.0}


def test_without_any_change_all_frames_have_the_clean_key_frame(draw: Callable[..., Example]):
    example, batch = draw(**PLAIN), guided_batch(0)
    pictures = batch["video"][np.arange(BATCH), batch["key_frame"]]

    np.testing.assert_array_equal(example.reference, np.stack(FRAMES * [pictures], 1))
    assert np.all(example.has_reference)


def test_the_reference_has_noise_of_the_level_of_the_hint(draw: Callable[..., Example]):
    clean, noisy = draw(**PLAIN), draw(**PLAIN | {"noise": True})
    alpha, sigma = (np.asarray(x) for x in _levels(draw, noisy.hint_t))
    noise = (np.asarray(noisy.reference) - alpha * np.asarray(clean.reference)) / sigma
    hint = (np.asarray(noisy.hint) - alpha * np.asarray(noisy.low)) / sigma

    # One picture: all frames have one noise, which is not that of the hint.
    np.testing.assert_allclose(noise, noise[:, :1].repeat(FRAMES, 1), atol=1e-4)
    assert abs(noise.std() - 1) < 0.05
    assert abs(np.corrcoef(noise[:, 0].ravel(), hint[:, 0].ravel())[0, 1]) < 0.1


def test_the_noise_moves_with_the_picture(draw: Callable[..., Example]):
    still, moved = (
        draw(**PLAIN | {"noise": True}),
        draw(**PLAIN | {"noise": True, "temporal": True}),
    )
    reference, keys = np.asarray(still.reference), guided_batch(0)["key_frame"]
    moved = np.asarray(moved.reference)
    for video, key in enumerate(keys):
        for frame in range(FRAMES):
            shift = 2 * (int(key) - frame)
            expected = np.zeros((LATENTS, LATENTS, reference.shape[-1]), np.float32)
            columns = np.arange(LATENTS) + shift
            inside = (columns >= 0) & (columns < LATENTS)
            expected[:, inside] = reference[video, frame][:, columns[inside]]
            np.testing.assert_array_equal(moved[video, frame], expected)


def test_patches_are_masked_last(draw: Callable[..., Example]):
    moving = PLAIN | {"noise": True, "temporal": True}
    whole, masked = draw(**moving), draw(**moving | {"mask": 0.5})
    kept = np.asarray(masked.reference == whole.reference).all(-1)
    zero = np.asarray(masked.reference == 0).all(-1)

    assert np.all(kept | zero)
    cells = zero.reshape(BATCH, FRAMES, LATENTS // 2, 2, LATENTS // 2, 2)
    shown = np.asarray(whole.reference != 0).any(-1).reshape(cells.shape)
    whole_patches = cells.all((3, 5)) | ~(cells & shown).any((3, 5))
    assert np.all(whole_patches)
    shares = (zero & np.asarray(whole.reference != 0).any(-1)).mean((1, 2, 3))
    assert 0.05 < shares.mean() < 0.4 and shares.max() < 0.75 and np.unique(shares).size > 1
    # Each frame has a mask of its own.
    assert not np.array_equal(cells[:, 0], cells[:, 1])


def test_a_quarter_is_masked_on_average(draw: Callable[..., Example]):
    """The share of each video is uniform from 0 to a half."""
    shares = [
        np.mean(draw(jax.random.key(i), **PLAIN | {"mask": 0.5}).reference == 0, axis=(1, 2, 3, 4))
        for i in range(12)
    ]
    assert 0.18 < np.mean(shares) < 0.32 and np.min(shares) < 0.1 < 0.35 < np.max(shares)


def test_a_video_without_a_reference_has_none_at_all(draw: Callable[..., Example]):
    none, some = draw(dropout=1.0), draw(dropout=0.5)

    assert not np.any(none.has_reference) and not np.any(none.reference)
    has = np.asarray(some.has_reference)
    assert has.any() and not has.all()
    np.testing.assert_array_equal(np.asarray(some.reference).any((1, 2, 3, 4)), has)


def test_only_local_attention_shuffles(draw: Callable[..., Example], genve: Task):
    sizes = genve.source.config
    local, cross = draw(), draw(sizes=dataclasses.replace(sizes, fusion="cross"))

    assert cross.permutation is None and cross.reference is not None
    permutation, own = np.asarray(local.permutation), np.arange((LATENTS // 2) ** 2)
    assert np.mean(permutation != own) > 0.5
    np.testing.assert_array_equal(np.sort(permutation), np.broadcast_to(own, permutation.shape))


def test_all_else_is_as_for_venhancer(draw: Callable[..., Example], genve: Task):
    ours, conditioning = draw(), genve.objective.conditioning  # pyright: ignore
    fields = [f.name for f in dataclasses.fields(venhancer.Conditioning)]
    theirs = venhancer.Conditioning(**{f: getattr(conditioning, f) for f in fields}).example(
        genve.frozen, on_devices(guided_batch(0)), KEY
    )
    for field in dataclasses.fields(theirs):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))
    none = draw(sizes=dataclasses.replace(genve.source.config, fusion="none"))
    assert none.reference is None and none.has_reference is None


def test_without_a_reference_the_prediction_is_venhancers(
    genve: Task, tiny_task: Task, draw: Callable[..., Example]
):
    """And with one it is another."""
    params = genve.all_params(genve.params)
    fold = params["lca.fold_patches.kernel"]
    params["lca.fold_patches.kernel"] = jax.random.normal(jax.random.key(1), fold.shape)
    conditioning = genve.objective.conditioning  # pyright: ignore
    example = draw(dropout=0.0)
    assert example.permutation is not None
    absent = dataclasses.replace(example, has_reference=jnp.array([True, False, True, False]))
    x, t = jax.random.normal(KEY, example.clean.shape), jnp.full(BATCH, 400)

    @jax.jit
    def both(params, example):
        prediction = conditioning.predict(params, {"denoiser": {}}, example, x, t)
        unet = {n: x for n, x in params.items() if not n.startswith("lca.")}
        plain = tiny_task.objective.conditioning.predict(  # pyright: ignore
            unet, {"denoiser": {}}, example, x, t
        )
        return prediction, plain

    ours, plain = both(params, absent)
    np.testing.assert_allclose(ours[1::2], plain[1::2], atol=1e-6)
    assert np.abs(ours[::2] - plain[::2]).max() > 1e-3
    own = jnp.broadcast_to(jnp.arange((LATENTS // 2) ** 2), example.permutation.shape)
    assert np.abs(ours - both(params, dataclasses.replace(absent, permutation=own))[0]).max() > 1e-4


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("reference__fusion", "global", "reference.fusion 'global': expected one of none, cross"),
        ("reference__mask", 1.5, r"reference\.mask 1\.5: expected a share"),
        ("reference__dropout", -0.1, r"reference\.dropout -0\.1: expected a share"),
        ("augment__strides", (1, 2), r"augment\.strides \(1, 2\): expected \(1,\)"),
    ],
)
def test_settings_that_cannot_be(tiny_weights: Path, setting: str, value: object, words: str):
    with pytest.raises(InputError, match=words):
        task_of(genve_config(tiny_weights, **{setting: value}), abstract=True)


def _levels(draw: Callable[..., Example], t: jax.Array):
    from venhancer_jax.diffusion.schedule import cosine_interpolated_schedule

    schedule = cosine_interpolated_schedule()
    shape = (-1, 1, 1, 1, 1)
    return schedule.alphas[np.asarray(t)].reshape(shape), schedule.sigmas[np.asarray(t)].reshape(
        shape
    )
