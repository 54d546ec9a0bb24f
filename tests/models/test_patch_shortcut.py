"""The linear way past the VAE's convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.models.autoencoders.patch_shortcut import low_frequencies
from venhancer_jax.pipelines import catalog


@pytest.mark.parametrize(("patch", "channels"), [(2, 5), (4, 16), (8, 64)])
def test_pictures_are_orthonormal_and_slow(patch: int, channels: int):
    basis = low_frequencies(patch, channels)

    assert basis.shape == (3 * patch**2, channels)
    np.testing.assert_allclose(basis.T @ basis, np.eye(channels), atol=1e-12)
    np.testing.assert_allclose(basis[:, 0], 1 / np.sqrt(3 * patch**2))  # mean brightness first


def test_all_frequencies_lose_nothing():
    basis = low_frequencies(4, 48)

    np.testing.assert_allclose(basis @ basis.T, np.eye(48), atol=1e-12)


def test_an_untrained_vae_is_a_blurry_one():
    """The convolutions say nothing yet, and each is fed the right patch."""
    network = catalog.build(
        "vae", VAEConfig.demo(channels=(8, 8, 8), latent_channels=16, blocks_per_level=0)
    )
    params = jax.jit(network.init)(jax.random.key(0))
    y, x = np.mgrid[:16, :24] / 24
    wave = 0.5 * np.sin(5 * x + 3 * y)[..., None] + np.array([0.3, 0.0, -0.3])
    frames = jnp.asarray(wave[None, None], jnp.float32)

    @jax.jit
    def decode(latents: jax.Array) -> jax.Array:
        return network.bind(params).decode(latents)

    posterior = jax.jit(lambda x: network.bind(params).encode(x))(frames)
    again = decode(posterior.mean)

    assert posterior.mean.shape == (1, 1, 4, 6, 16)
    assert float(jnp.abs(again - frames).max()) < 0.02
    assert float(posterior.std.max()) < 0.05
    # A patch of the picture depends on its own latent alone.
    moved = decode(posterior.mean.at[0, 0, 1, 2].add(1.0)) - again
    outside = moved.at[0, 0, 4:8, 8:12].set(0)
    assert float(jnp.abs(moved).max()) > 0.1
    assert float(jnp.abs(outside).max()) == 0
