"""Flows of clips in both directions."""

import jax
import numpy as np
import pytest

from venhancer_jax.convert.layouts import layout_entries
from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.upscale_a_video.recipe import weight
from venhancer_jax.models.raft.raft import RaftConfig
from venhancer_jax.pipelines import catalog
from venhancer_jax.pipelines.upscale_a_video.flow import (
    bidirectional_dis_flow,
    bidirectional_flow,
)
from venhancer_jax.video.flow import resize_flows
from venhancer_jax.video.resize import resize_bilinear

NETWORK = catalog.build("raft", RaftConfig.tiny())
rng = np.random.default_rng(0)
FRAMES = np.tanh(rng.standard_normal((3, 20, 26, 3), np.float32))


@pytest.fixture(scope="module")
def params() -> dict[str, jax.Array]:
    return recipe.params(layout_entries("raft", RaftConfig.tiny(), "plain"), weight=weight)


@pytest.fixture(scope="module")
def of_resized(params: dict[str, jax.Array]) -> list[np.ndarray]:
    """Both flows of frames of 24x32, resized back and not scaled."""
    resized = resize_bilinear(FRAMES, (24, 32), antialias=False)
    run = jax.jit(NETWORK.__call__, static_argnums=3)
    pairs = (resized[:-1], resized[1:]), (resized[1:], resized[:-1])
    flows = [run(params, *pair, 2) for pair in pairs]
    return [resize_bilinear(np.asarray(x), (20, 26), antialias=False) for x in flows]


def test_flows_are_measured_in_pixels_of_the_clip(params: dict, of_resized: list[np.ndarray]):
    flows = bidirectional_flow(NETWORK, params, FRAMES, iterations=2)
    for flow, expected in zip(flows, of_resized, strict=True):
        assert flow.shape == (2, 20, 26, 2)
        np.testing.assert_allclose(flow, expected * [26 / 32, 20 / 24], atol=1e-5)
    assert np.abs(flows[0] - flows[1]).max() > 1e-3


def test_official_flows_scale_two_rows(params: dict, of_resized: list[np.ndarray]):
    flows = bidirectional_flow(NETWORK, params, FRAMES, iterations=2, official_rows=True)
    rows = np.ones((20, 1, 1))
    rows[:2, 0, 0] = 20 / 24, 26 / 32
    for flow, expected in zip(flows, of_resized, strict=True):
        np.testing.assert_allclose(flow, expected * rows, atol=1e-5)


def test_one_frame_has_no_flow(params: dict):
    for flow in bidirectional_flow(NETWORK, params, FRAMES[:1]):
        assert flow.shape == (0, 20, 26, 2)
    for flow in bidirectional_dis_flow(FRAMES[:1]):
        assert flow.shape == (0, 20, 26, 2)


def test_dense_inverse_search_follows_a_scene():
    scene = resize_bilinear(rng.random((1, 12, 12, 3), np.float32), (96, 96))[0] * 2 - 1
    clip = np.stack([scene[2 * i :, 3 * i :][:64, :64] for i in range(3)])
    forward, backward = bidirectional_dis_flow(clip)
    assert forward.shape == (2, 64, 64, 2)
    inner = np.s_[:, 16:-16, 16:-16]
    np.testing.assert_allclose(np.median(forward[inner], (0, 1, 2)), [-3, -2], atol=0.2)
    np.testing.assert_allclose(np.median(backward[inner], (0, 1, 2)), [3, 2], atol=0.2)


@pytest.mark.parametrize(("official", "expected"), [(False, [4, 1]), (True, [4, 2 / 3])])
def test_resized_flows_are_measured_in_the_new_pixels(official: bool, expected: list[float]):
    flows = np.broadcast_to(np.float32([12, 2]), (2, 48, 60, 2))
    found = resize_flows(flows, (24, 20), official=official)
    np.testing.assert_allclose(found, np.broadcast_to(expected, (2, 24, 20, 2)), rtol=1e-6)
    assert resize_flows(flows, (48, 60)) is flows
