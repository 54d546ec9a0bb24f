"""Flows from frames to key frames, measured in latents."""

import numpy as np
import pytest
from pipelines.genve.tiny_genve import tiny_genve

from venhancer_jax.pipelines.genve import flow as flow_module
from venhancer_jax.pipelines.genve.flow import direct_flows, flows_in_latents
from venhancer_jax.pipelines.venhancer.plan import SpacePlan
from venhancer_jax.video.resize import resize_bilinear

# Input 60x80, twice as large an output, of 128x168 with its padding: 16x21 latents.
SPACE = SpacePlan(size=(120, 160), padding=(0, 8, 0, 8), scale=2.0)
rng = np.random.default_rng(0)
SCENE = resize_bilinear(rng.random((1, 26, 32, 3), np.float32), (104, 128))[0]
# From frame to frame the picture moves by 4 columns and 2 rows.
FRAMES = [np.rint(255 * SCENE[2 * i :, 4 * i :][:60, :80]).astype(np.uint8) for i in range(6)]


def test_flows_of_a_translating_clip_are_the_truth():
    """One latent a frame along the columns, half of one along the rows; direct, not summed."""
    nearest = np.array([0, 0, 0, 1, 1, 1])
    found = direct_flows(None, FRAMES, [FRAMES[1], FRAMES[4]], nearest, SPACE, 8)
    assert found.shape == (6, 16, 21, 2) and found.dtype == np.float32
    key = np.array([1, 4])[nearest]
    for i, flow in enumerate(found):
        expected = (i - key[i]) * np.array([1, 0.5])
        inner = flow[3:-4, 3:-4]
        assert np.abs(inner - expected).mean() < 0.01
        assert (np.rint(inner[..., 0]) == expected[0]).all()
    assert np.abs(found[[1, 4]]).max() < 0.05


def test_means_over_latents():
    """A flow that grows linearly is that in the middle of a latent; beyond the clip, the edge's."""
    rows, columns = np.mgrid[:60, :80] + 0.5
    flow = np.stack([columns, rows], -1)[None].astype(np.float32)
    found = flows_in_latents(flow, SPACE, 8)[0]
    assert found.shape == (16, 21, 2)
    # Middles of latents in pixels of the input, times two pixels, over eight.
    middles = (np.arange(21) + 0.5) * 4 / 4
    np.testing.assert_allclose(found[0, :-1, 0], middles[:-1], rtol=1e-5)
    np.testing.assert_allclose(found[:-1, 0, 1], middles[:15], rtol=1e-5)
    np.testing.assert_allclose(found[0, -1, 0], 79.5 / 4, rtol=1e-5)
    np.testing.assert_allclose(found[-1, 0, 1], 59.5 / 4, rtol=1e-5)


def test_padding_before_the_frame():
    space = SpacePlan(size=(112, 144), padding=(16, 8, 8, 8), scale=2.0)
    flow = np.broadcast_to(np.float32([[8, 4]]), (1, 56, 72, 2)).copy()
    flow[:, :4] = 0
    found = flows_in_latents(flow, space, 8)[0]
    assert found.shape == (16, 21, 2)
    np.testing.assert_allclose(found[2:], np.broadcast_to([2.0, 1.0], (14, 21, 2)), rtol=1e-6)
    assert not found[:2].any()


def test_raft_sees_pairs_of_frame_and_key_frame(monkeypatch: pytest.MonkeyPatch):
    """Small frames are extended; the maps of key frames are computed once."""
    raft, pairs, seen = tiny_genve().raft, [], []
    maps = flow_module.frame_maps

    def frame_maps(network, params, frames):
        assert frames.shape[1:] == (128, 128, 3)
        seen.append(len(frames))
        return maps(network, params, frames)

    def map_flows(network, params, first, second, size):
        assert size == (128, 128)
        pairs.append((first, second))
        return np.zeros((len(first), *size, 2), np.float32)

    monkeypatch.setattr(flow_module, "frame_maps", frame_maps)
    monkeypatch.setattr(flow_module, "map_flows", map_flows)
    found = direct_flows(raft, FRAMES[:3], [FRAMES[1]], np.zeros(3, int), SPACE, 8)
    assert found.shape == (3, 16, 21, 2) and seen == [1, 1, 1, 1]
    # Of the middle pair both are the key frame.
    equal = [np.array_equal(first, second, equal_nan=True) for first, second in pairs]
    assert equal == [False, True, False]
