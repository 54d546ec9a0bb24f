"""Tiles of a frame: one size, little work, starts that networks halve alike."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.models.venhancer.unet3d import UNet3DConfig
from venhancer_jax.pipelines.options import GuidedOptions
from venhancer_jax.pipelines.pieces import Box, Window, blend, faded_spans, symmetric_spans
from venhancer_jax.pipelines.tiles import (
    LEAST_AREA,
    Tiling,
    latents_that_fit,
    tile_boxes,
    tiles_by_area,
    tiles_by_side,
)
from venhancer_jax.pipelines.venhancer.conditions import Conditions

PUBLISHED = ((2, 8), (0, 8))
# Latents of 512x768, 720p, 1080p, 4K and 8K of the shipped model, and of the published one.
SHIPPED_SIZES = [(128, 192), (180, 320), (270, 480), (540, 960), (1080, 1920)]
PUBLISHED_SIZES = [(138, 240), (186, 320), (274, 480), (546, 960)]


def check(windows: list[Window], side: int, margin: int, modulus: tuple[int, int]) -> int:
    """Checks windows and returns their length."""
    (length,) = {stop - start for start, stop in windows}
    assert windows[0][0] == 0 and windows[-1][1] == side
    assert length == side or (length % modulus[1]) == modulus[0]
    assert all(start % modulus[1] == 0 for start, _ in windows)
    for (_, stop), (start, _) in itertools.pairwise(windows):
        assert stop - start >= 2 * margin
    return length


@pytest.mark.parametrize(
    ("size", "moduli", "work"),
    [(size, ((0, 2), (0, 2)), 1.23) for size in SHIPPED_SIZES]
    + [(size, PUBLISHED, 1.42) for size in PUBLISHED_SIZES],
)
def test_tiles_by_area_are_equal_and_cheap(size, moduli, work: float):
    grid = tiles_by_area(size, LEAST_AREA, 6, moduli)
    height, width = (check(w, s, 6, m) for w, s, m in zip(grid, size, moduli, strict=True))
    assert height * width <= LEAST_AREA
    assert len(grid[0]) * len(grid[1]) * height * width <= work * size[0] * size[1]


def test_a_frame_that_fits_is_whole():
    assert tiles_by_area((90, 160), LEAST_AREA, 6) == ([(0, 90)], [(0, 160)])
    assert tiles_by_area((900, 1600), None, 6) == ([(0, 900)], [(0, 1600)])
    # The shipped clip keeps its bytes.
    assert tiles_by_area((72, 128), LEAST_AREA, 6, ((0, 2), (0, 2))) == ([(0, 72)], [(0, 128)])


@pytest.mark.parametrize("side", [17, 34, 64, 90, 178, 602])
@pytest.mark.parametrize("core", [16, 32, 90])
def test_tiles_by_side(side: int, core: int):
    windows = tiles_by_side(side, core, 4, (side % 2, 2))
    length = check(windows, side, 4, (side % 2, 2))
    assert length <= max(core + 8 + 4, side if side <= core + 8 else 0)
    assert tiles_by_side(side, None, 4, (0, 1)) == [(0, side)]


@pytest.mark.parametrize("area", [1, 50])
def test_tiles_are_not_smaller_than_their_overlaps(area: int):
    rows, columns = tiles_by_area((64, 96), area, 4)
    assert check(rows, 64, 4, (0, 1)) >= 16 and check(columns, 96, 4, (0, 1)) >= 16


def test_requested_tiling():
    auto = Tiling(area=100, margin=2)
    assert auto.requested("auto", None, 4) == auto
    assert auto.requested("auto", 30, 4) == Tiling(area=100, margin=8)
    assert auto.requested("none", None, 4).windows((64, 64)) == ([(0, 64)], [(0, 64)])
    assert auto.requested(128, 16, 4) == Tiling(core=32, margin=4)
    rows, columns = Tiling(core=32, margin=4).windows((64, 40))
    assert (rows, columns) == ([(0, 36), (28, 64)], [(0, 40)])


def test_memory_of_the_chips_decides(monkeypatch: pytest.MonkeyPatch):
    params = {"kernel": jax.ShapeDtypeStruct((2**30,), jnp.bfloat16)}
    assert latents_that_fit(params, 1) == LEAST_AREA  # a processor
    monkeypatch.setattr(
        "venhancer_jax.pipelines.tiles.target_device", lambda: ("tpu", "TPU v5 lite")
    )
    latent_bytes = 2**18
    free = 0.9 * 15.75 * 2**30 - 2**31
    assert latents_that_fit(params, latent_bytes) == int(free / latent_bytes)
    assert latents_that_fit(params, latent_bytes, shards=8) == int(8 * free / latent_bytes)
    assert latents_that_fit(params, 2**30) == LEAST_AREA


def conditions() -> Conditions:
    draw = np.random.default_rng(0).standard_normal
    start, hint = draw((1, 9, 20, 24, 4)), draw((1, 3, 20, 24, 4))
    key_index = np.array([0, -1, -1, -1, 1, -1, -1, -1, 2])
    return Conditions(jnp.float32(start), jnp.float32(hint), 5, 2.0, key_index)


def boxes() -> list[Box]:
    rows, columns = tiles_by_area((20, 24), 150, 2, ((0, 2), (0, 2)))
    assert len(rows) * len(columns) > 3
    return tile_boxes(faded_spans([(0, 5), (4, 9)]), rows, columns)


@pytest.mark.parametrize("batch", [1, 3])
def test_hints_are_cropped_to_tiles(batch: int):
    """A denoiser of single pixels has the result of whole frames in windows and tiles."""
    given = conditions()

    def with_hints(x: jax.Array, windows) -> jax.Array:
        found = given.for_windows(windows)
        hints = jnp.take_along_axis(
            found["hint"], jnp.maximum(found["key_index"], 0)[..., None, None, None], axis=1
        )
        is_key = (found["key_index"] >= 0)[..., None, None, None]
        return 2 * x + jnp.where(is_key, hints, 0)

    expected = (2 * given.start).at[:, ::4].add(given.hint)
    blended = blend(with_hints, given.start, boxes(), batch=batch)
    np.testing.assert_allclose(blended, expected, atol=1e-5)


def test_tiles_of_the_denoiser_sum_to_one_with_windows():
    total = sum(
        box.frames.weights.sum() * box.rows.weights.sum() * box.columns.weights.sum()
        for box in boxes()
    )
    assert total == pytest.approx(9 * 20 * 24)
    one = symmetric_spans([(0, 7)], scale=2)[0]
    np.testing.assert_array_equal(one.weights, np.ones(14))


def test_modulus_is_that_of_the_network():
    assert UNet3DConfig.venhancer().rows_modulus == PUBLISHED[0]


@pytest.mark.parametrize("tile", ["auto", "none", 64, "256"])
def test_tile_option(tile: str | int):
    assert GuidedOptions(tile=tile).tile == (int(tile) if tile in (64, "256") else tile)
