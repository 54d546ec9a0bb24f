"""The attention to a reference on eight devices."""

from pathlib import Path

import numpy as np
from models.genve.attention_on_devices import computed, write
from training import forked

# Neither 3 frames nor 6 rows of patches are divided by 2 and 4, 1 video not by 2.
MESHES = [
    ({"data": 2, "context": 2, "rows": 2}, 1),
    ({"data": 1, "fsdp": 2, "rows": 4}, 2),
    ({"data": 1, "context": 8}, 2),
]


def test_eight_devices_compute_what_one_computes(tmp_path: Path):
    path = tmp_path / "found.npz"
    forked.run(tmp_path / "output.txt", write, path, MESHES, devices=8)
    found = np.load(path)

    expected = {videos: computed(videos=videos)[0] for videos in (1, 2)}
    for i, (_, videos) in enumerate(MESHES):
        for name, x in expected[videos].items():
            assert np.abs(x).max() > 0
            error = np.linalg.norm(found[f"{i} {name}"] - x) / np.linalg.norm(x)
            assert error < 1e-5, (MESHES[i], name, error)
