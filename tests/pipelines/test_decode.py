"""Decoding in chunks and tiles, with a decoder that treats all latents alike."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.autoencoders.config import VAEConfig
from venhancer_jax.pipelines.tiles import LEAST_AREA, Tiling
from venhancer_jax.pipelines.venhancer.decode import (
    DecoderPieces,
    PublishedPieces,
    decode_stream,
    decoder_pieces,
)
from venhancer_jax.pipelines.venhancer.options import VEnhancerOptions
from venhancer_jax.pipelines.venhancer.tiling import decoder_tiling

PIXELS = 2
PIECES = DecoderPieces(scale=PIXELS, tiling=decoder_tiling(VAEConfig.svd()))
TILES = DecoderPieces(scale=PIXELS, tiling=Tiling(area=30, margin=1))
PUBLISHED = PublishedPieces(scale=PIXELS, size=(5, 6), shared=(2, 3))


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
    pieces = list(decode_stream(decode, latents, PIECES))
    whole = np.concatenate(pieces, axis=1)
    assert whole.shape == (1, frames, 4, 6, 3)
    np.testing.assert_allclose(whole, decode(latents), atol=1e-5)


def test_memory_is_bounded_in_time():
    lengths = []

    def counted(latents: jax.Array) -> np.ndarray:
        lengths.append(latents.shape[1])
        return decode(latents)

    pieces = decode_stream(counted, normal(33, 2, 3), PIECES)
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

    pieces = list(decode_stream(counted, normal(33, 2, 3), PublishedPieces(scale=PIXELS)))
    assert [piece.shape[1] for piece in pieces] == [3] * 9 + [6]
    assert lengths == [5] * 9 + [6]


def test_later_chunk_fades_in_over_two_frames():
    chunks = iter(range(9))

    def numbered(latents: jax.Array) -> jax.Array:
        return jnp.full((1, latents.shape[1], PIXELS, PIXELS, 3), float(next(chunks)))

    pieces = decode_stream(numbered, normal(11, 1, 1), PIECES)
    found = np.concatenate(list(pieces), axis=1)[0, :, 0, 0, 0]
    # Chunks (0, 5), (3, 8), (6, 11): weights 1/4 and 3/4 of the later one.
    np.testing.assert_allclose(found, [0, 0, 0, 0.25, 0.75, 1, 1.25, 1.75, 2, 2, 2])


@pytest.mark.parametrize(("height", "width"), [(9, 5), (5, 13), (9, 13), (16, 11)])
def test_tiles_are_the_whole(height: int, width: int):
    latents = normal(6, height, width)
    sizes = []

    def counted(latents: jax.Array) -> np.ndarray:
        sizes.append(latents.shape[2:4])
        return decode(latents)

    pieces = decode_stream(counted, latents, TILES)
    np.testing.assert_allclose(np.concatenate(list(pieces), axis=1), decode(latents), atol=1e-5)
    assert len(sizes) >= 2
    assert len(set(sizes)) == 1
    assert sizes[0][0] * sizes[0][1] <= 30


def test_tiles_of_the_published_program_are_the_whole():
    latents = normal(6, 16, 11)
    pieces = decode_stream(decode, latents, PUBLISHED)
    np.testing.assert_allclose(np.concatenate(list(pieces), axis=1), decode(latents), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 9, 16, 33, 100])
@pytest.mark.parametrize("size", [(94, 160), (138, 240), (274, 480)], ids=["720p", "1080p", "4K"])
@pytest.mark.parametrize("vae", [VAEConfig.svd(), VAEConfig.demo()], ids=["svd", "demo"])
def test_large_frames_are_decoded_in_one_shape(vae: VAEConfig, size: tuple[int, int], frames: int):
    """Each shape is a program of minutes of compilation, and little is decoded twice."""
    pieces = decoder_pieces(vae, VEnhancerOptions())
    chunks = [len(span) for span in pieces.chunks(frames)]
    boxes = pieces.tiles((max(chunks), *size))
    assert len(set(chunks)) == 1
    assert len({box.shape for box in boxes}) == 1
    _, rows, columns = boxes[0].shape
    assert rows * columns <= LEAST_AREA
    assert len(boxes) * rows * columns < 1.26 * size[0] * size[1]


def test_single_frames_are_decoded_once_and_by_themselves():
    assert [
        len(span) for span in decoder_pieces(VAEConfig.demo(), VEnhancerOptions()).chunks(7)
    ] == ([1] * 7)
    by_request = decoder_pieces(VAEConfig.demo(), VEnhancerOptions(decode_chunk=4)).chunks(8)
    assert [(span.start, span.stop) for span in by_request] == [(0, 4), (4, 8)]
    joint = decoder_pieces(VAEConfig.svd(), VEnhancerOptions()).chunks(8)
    assert [(span.start, span.stop) for span in joint] == [(0, 5), (3, 8)]


def test_requested_tiles():
    def grid(**options: Any) -> set[tuple[int, int, int]]:
        pieces = decoder_pieces(VAEConfig.demo(), VEnhancerOptions(**options))
        return {box.shape for box in pieces.tiles((1, 270, 480))}

    assert grid(tile="none") == {(1, 270, 480)}
    assert grid(tile=256) == {(1, 61, 67)}
    assert grid(tile=256, tile_overlap=0) == {(1, 54, 60)}


def test_the_published_program_decodes_1080p_in_several_shapes():
    boxes = decoder_pieces(VAEConfig.svd(), VEnhancerOptions(compat="official")).tiles(
        (5, 138, 240)
    )
    assert len({box.shape for box in boxes}) == 4


def test_tiles_are_joined_under_gaussian_weights():
    tiles = iter((0.0, 1.0))

    def numbered(latents: jax.Array) -> jax.Array:
        _, frames, height, width, _ = latents.shape
        return jnp.full((1, frames, height, width, 3), next(tiles))

    pieces = decode_stream(
        numbered, normal(1, 1, 8), PublishedPieces(scale=1, size=(1, 5), shared=(0, 2))
    )
    found = next(pieces)[0, 0, 0, :, 0]

    def bell(i: int) -> float:
        return np.exp(-(((i - 2) / 5) ** 2) / 0.04)

    expected = [bell(j) / (bell(3 + j) + bell(j)) for j in (0, 1)]
    np.testing.assert_allclose(found, [0, 0, 0, *expected, 1, 1, 1], atol=1e-6)
