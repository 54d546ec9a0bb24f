"""Shuffling of the reference inside windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.genve.tiny_attention import GRID, REFERENCE, VIDEO, assert_near, attend, built

from venhancer_jax.models.genve import local_attention
from venhancer_jax.models.genve.shuffle import permute_in_windows

KEY = jax.random.key(3)


@pytest.mark.parametrize("patches", [(45, 80), (8, 8), (9, 10), (3, 2)])
def test_patches_stay_in_their_windows(patches: tuple[int, int]):
    count = patches[0] * patches[1]
    taken = np.asarray(permute_in_windows(KEY, (2, 3), patches, 4))
    rows, columns = np.divmod(taken, patches[1])
    own_rows, own_columns = np.divmod(np.arange(count), patches[1])

    assert taken.shape == (2, 3, count)
    assert (np.sort(taken) == np.arange(count)).all()
    assert (rows // 4 == own_rows // 4).all() and (columns // 4 == own_columns // 4).all()
    frames = taken.reshape(6, count)
    assert len(np.unique(frames, axis=0)) == 6


def test_every_order_is_as_likely():
    taken = np.asarray(permute_in_windows(KEY, (1, 4000), (4, 8), 4))[0]
    of_window = (taken // 8) * 4 + taken % 4

    for place in (0, 7, 13, 30):
        counts = np.bincount(of_window[:, place], minlength=16)
        assert counts.min() > 180 and counts.max() < 320  # 250 on average, deviation of 15


def test_keys_and_values_are_those_of_the_patches_that_are_taken():
    """Shuffling latents of the reference by whole patches is the same; the video stays."""
    permutation = permute_in_windows(KEY, VIDEO.shape[:2], GRID, 4)
    patches = REFERENCE.reshape(2, 3, GRID[0], 2, GRID[1], 2, 4).swapaxes(3, 4)
    patches = patches.reshape(2, 3, -1, 2, 2, 4)
    index = np.asarray(permutation)[..., None, None, None]
    taken = np.take_along_axis(patches, index, axis=2).reshape(2, 3, *GRID, 2, 2, 4)
    shuffled = taken.swapaxes(3, 4).reshape(REFERENCE.shape)

    found = attend(*built(), VIDEO, REFERENCE, permutation)

    assert_near(found, np.asarray(attend(*built(), VIDEO, shuffled)))
    plain = attend(*built(), VIDEO, REFERENCE)
    assert float(jnp.abs(found - plain).max()) > 0.1
    identity = jnp.broadcast_to(jnp.arange(permutation.shape[-1]), permutation.shape)
    assert_near(attend(*built(), VIDEO, REFERENCE, identity), np.asarray(plain))


def test_a_bias_that_is_constant_in_a_window_does_not_notice(monkeypatch: pytest.MonkeyPatch):
    original = local_attention.local_bias

    def of_windows(queries: jax.Array, keys: jax.Array, *args) -> jax.Array:
        return original(queries // 4 * 4, keys // 4 * 4, *args)

    monkeypatch.setattr(local_attention, "local_bias", of_windows)
    permutation = permute_in_windows(KEY, VIDEO.shape[:2], GRID, 4)
    network, params = built()
    call = jax.jit(lambda *inputs: network(params, *inputs))
    plain = call(VIDEO, REFERENCE)

    assert_near(call(VIDEO, REFERENCE, permutation), np.asarray(plain), 2e-6)
    across = jnp.roll(permutation, 3, axis=-1)
    assert float(jnp.abs(call(VIDEO, REFERENCE, across) - plain).max()) > 1e-2
