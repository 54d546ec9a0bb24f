"""Decoding in chunks and tiles, with a decoder that treats all latents alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.pipelines.venhancer.decode import (
    TILE_SIZE,
    chunk_spans,
    decode_stream,
    tile_boxes,
)

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
    pieces = list(decode_stream(decode, latents, scale=PIXELS))
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape == (1, frames, 4, 6, 3)
    np.testing.assert_allclose(whole, decode(latents), atol=1e-5)


def test_memory_is_bounded_in_time():
    lengths = []

    def counted(latents: jax.Array) -> np.ndarray:
        lengths.append(latents.shape[1])
        return decode(latents)

    pieces = decode_stream(counted, normal(33, 2, 3), scale=PIXELS)
    assert not lengths  # nothing before the first frame is requested
    assert next(pieces).shape[1] == 3
    assert lengths == [5]
    rest = [piece.shape[1] for piece in pieces]
    assert sum(rest) == 30 and max(rest) <= 5
    assert set(lengths) == {5}


def test_the_published_program_has_a_longer_last_chunk():
    lengths = []

    def counted(latents: jax.Array) -> np.ndarray:
        lengths.append(latents.shape[1])
        return decode(latents)

    pieces = list(decode_stream(counted, normal(33, 2, 3), scale=PIXELS, equal=False))
    assert [piece.shape[1] for piece in pieces] == [3] * 9 + [6]
    assert lengths == [5] * 9 + [6]


def test_later_chunk_fades_in_over_two_frames():
    chunks = iter(range(9))

    def numbered(latents: jax.Array) -> jax.Array:
        return jnp.full((1, latents.shape[1], PIXELS, PIXELS, 3), float(next(chunks)))

    pieces = decode_stream(numbered, normal(11, 1, 1), scale=PIXELS)
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

    pieces = decode_stream(counted, latents, scale=PIXELS, tile_size=(5, 6), tile_overlap=(2, 3))
    np.testing.assert_allclose(np.concatenate(list(pieces), axis=1), decode(latents), atol=1e-5)
    assert len(sizes) > 2
    assert len(set(sizes)) == 1
    assert max(sizes) <= (7, 8)  # a third larger than a tile


def test_tiles_of_the_published_program_are_the_whole():
    latents = normal(6, 16, 11)
    pieces = decode_stream(
        decode, latents, scale=PIXELS, equal=False, tile_size=(5, 6), tile_overlap=(2, 3)
    )
    np.testing.assert_allclose(np.concatenate(list(pieces), axis=1), decode(latents), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 9, 16, 33, 100])
@pytest.mark.parametrize("size", [(94, 160), (138, 240), (274, 480)], ids=["720p", "1080p", "4K"])
def test_large_frames_are_decoded_in_one_shape(size: tuple[int, int], frames: int):
    """Each shape is a program of minutes of compilation."""
    chunks = {len(span) for span in chunk_spans(frames, equal=True)}
    boxes = tile_boxes((max(chunks), *size), scale=8, equal=True)
    assert len(chunks) == 1
    assert len({box.shape for box in boxes}) == 1
    # Tiles are no larger than the published ones, but for a third where one is then enough.
    limits = (round(1.33 * side) for side in TILE_SIZE)
    assert all(side <= limit for side, limit in zip(boxes[0].shape[1:], limits, strict=True))


def test_the_published_program_decodes_1080p_in_several_shapes():
    boxes = tile_boxes((5, 138, 240), scale=8, equal=False)
    assert len({box.shape for box in boxes}) == 4


def test_tiles_are_joined_under_gaussian_weights():
    tiles = iter((0.0, 1.0))

    def numbered(latents: jax.Array) -> jax.Array:
        _, frames, height, width, _ = latents.shape
        return jnp.full((1, frames, height, width, 3), next(tiles))

    pieces = decode_stream(
        numbered, normal(1, 1, 8), scale=1, tile_size=(1, 5), tile_overlap=(0, 2)
    )
    found = next(pieces)[0, 0, 0, :, 0]

    def bell(i: int) -> float:
        return np.exp(-(((i - 2) / 5) ** 2) / 0.04)

    expected = [bell(j) / (bell(3 + j) + bell(j)) for j in (0, 1)]
    np.testing.assert_allclose(found, [0, 0, 0, *expected, 1, 1, 1], atol=1e-6)
