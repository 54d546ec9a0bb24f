"""Decoding piece by piece, with a decoder that does to each latent the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.pipelines.venhancer.decode import decode_stream

PIXELS = 2


def decode(latents: jax.Array) -> np.ndarray:
    """Three channels, twice the size."""
    frames = np.asarray(latents)[..., :3] * 2 + 1
    return frames.repeat(PIXELS, 2).repeat(PIXELS, 3)


def normal(frames: int, height: int, width: int) -> jax.Array:
    draw = np.random.default_rng(frames).standard_normal((1, frames, height, width, 4))
    return jnp.asarray(draw, jnp.float32)


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 7, 8, 12, 33])
def test_stream_is_the_whole(frames: int):
    latents = normal(frames, 2, 3)
    pieces = list(decode_stream(decode, latents, pixels_per_latent=PIXELS))
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape == (1, frames, 4, 6, 3)
    np.testing.assert_allclose(whole, decode(latents), atol=1e-5)


def test_memory_is_bounded_in_time():
    lengths = []

    def counted(latents: jax.Array) -> np.ndarray:
        lengths.append(latents.shape[1])
        return decode(latents)

    pieces = decode_stream(counted, normal(33, 2, 3), pixels_per_latent=PIXELS)
    assert not lengths  # nothing before it is asked for
    assert next(pieces).shape[1] == 3
    assert lengths == [5]
    assert [piece.shape[1] for piece in pieces] == [3] * 8 + [6]
    assert lengths[1:] == [5] * 8 + [6]


def test_later_chunk_fades_in_over_two_frames():
    chunks = iter(range(9))

    def numbered(latents: jax.Array) -> jax.Array:
        return jnp.full((1, latents.shape[1], PIXELS, PIXELS, 3), float(next(chunks)))

    pieces = decode_stream(numbered, normal(11, 1, 1), pixels_per_latent=PIXELS)
    found = np.concatenate(list(pieces), axis=1)[0, :, 0, 0, 0]
    # Chunks (0, 5), (3, 8), (6, 11): weights 0 and 1/2 of the later one.
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0.5, 1, 1, 1.5, 2, 2, 2])


@pytest.mark.parametrize(("height", "width"), [(9, 5), (5, 13), (9, 13), (16, 11)])
def test_tiles_are_the_whole(height: int, width: int):
    latents = normal(6, height, width)
    sizes = []

    def counted(latents: jax.Array) -> np.ndarray:
        sizes.append(latents.shape[2:4])
        return decode(latents)

    pieces = decode_stream(
        counted, latents, pixels_per_latent=PIXELS, tile_size=(5, 6), tile_overlap=(2, 3)
    )
    np.testing.assert_allclose(np.concatenate(list(pieces), axis=1), decode(latents), atol=1e-5)
    assert len(sizes) > 1
    assert max(h for h, _ in sizes) <= 7  # a third larger than a tile
    assert max(w for _, w in sizes) <= 8


def test_tiles_are_joined_under_gaussian_weights():
    tiles = iter((0.0, 1.0))

    def numbered(latents: jax.Array) -> jax.Array:
        _, frames, height, width, _ = latents.shape
        return jnp.full((1, frames, height, width, 3), next(tiles))

    pieces = decode_stream(
        numbered, normal(1, 1, 8), pixels_per_latent=1, tile_size=(1, 5), tile_overlap=(0, 2)
    )
    found = next(pieces)[0, 0, 0, :, 0]

    def bell(i: int) -> float:
        return np.exp(-(((i - 2) / 5) ** 2) / 0.04)

    expected = [bell(j) / (bell(3 + j) + bell(j)) for j in (0, 1)]
    np.testing.assert_allclose(found, [0, 0, 0, *expected, 1, 1, 1], atol=1e-6)
