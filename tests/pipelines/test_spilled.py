"""Videos whose frames are computed when they are read: any frames, those of the array."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from venhancer_jax.pipelines.spilled import LazyVideo, scale_frames

FRAMES = jnp.arange(1.0, 41.0).reshape(1, 5, 2, 2, 2)
FACTORS = np.array([1, 2, 3, 5, 7], np.float32)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (0, 2), (2, 4), (4, 5)])
def test_each_frame_has_its_own_factor(start: int, stop: int, tmp_path: Path):
    video = LazyVideo(FRAMES.shape, lambda a, b: FRAMES[:, a:b], tmp_path)
    expected = np.asarray(FRAMES) * FACTORS[:, None, None, None]
    np.testing.assert_array_equal(scale_frames(FRAMES, FACTORS), expected)
    found = scale_frames(video, FACTORS).read(start, stop)
    np.testing.assert_array_equal(found, expected[:, start:stop])
