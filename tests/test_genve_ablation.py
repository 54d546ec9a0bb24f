"""The clips of GenVE's ablation, and what is required of its results."""

import numpy as np
import pytest

from benchmarks.genve_ablation import clips
from benchmarks.genve_ablation.measure import METRICS, NOISE_LEVELS, REFERENCES
from benchmarks.genve_ablation.table import checks, table
from benchmarks.genve_ablation.train import ROWS


@pytest.mark.parametrize("seed", range(3))
def test_only_the_reference_has_the_texture(seed: int):
    clip = clips.synthetic(seed, 3, (32, 64))
    low = clips.degraded(clip, 8)
    middle = clip[1].astype(float)

    # Tiles repeat where one texture has all; averages over tiles have nothing of them.
    texture = np.abs(middle - low[1]).mean()
    again = np.abs(middle[:, 8:] - middle[:, :-8]).mean()
    assert texture > 8 and again < texture
    soft = low[1].astype(float)
    assert np.abs(np.diff(soft, axis=1)).mean() < np.abs(np.diff(middle, axis=1)).mean() / 4


def test_synthetic_clips_move_evenly():
    moved = set()
    for seed in range(8):
        clip = clips.synthetic(seed, 3, (32, 64)).astype(int)
        found = [
            (dy, dx)
            for dy in (-4, 0, 4)
            for dx in (-4, 0, 4)
            if all(_follows(clip[i], clip[i + 1], dy, dx) for i in range(2))
        ]
        assert len(found) == 1
        moved |= set(found)
    assert len(moved) > 2


def _follows(first: np.ndarray, second: np.ndarray, dy: int, dx: int) -> bool:
    """Tells whether the second frame shows what is `(dy, dx)` further in the first."""
    shifted = np.roll(first, (-dy, -dx), (0, 1))
    return np.array_equal(shifted[4:-4, 4:-4], second[4:-4, 4:-4])


def _results(**values: float) -> dict:
    """Makes results of two seeds with equal metrics but for some, by row and case."""

    def of(row: str) -> dict:
        cases = [*REFERENCES] if row != "A" else ["none"]
        cases += [f"noise {level}" for level in NOISE_LEVELS] if row == "C3" else []
        found = {name: dict.fromkeys(METRICS, 1.0) for name in cases}
        for name in cases:
            metric = "change" if name.startswith("noise") else "lpips"
            found[name][metric] = values.get(f"{row}_{name}", 1.0)
        return found

    return {row: {s: {k: of(row) for k in ("synthetic", "real")} for s in "01"} for row in ROWS}


def test_requirements_of_the_ablation():
    good = {"B_true": 0.8, "C_true": 0.9, "C3_other": 1.05, "C_shifted": 1.2, "C2_shifted": 1.1}
    good |= {"C3_noise 200": 1.1, "C3_noise 300": 1.2}
    lines = [*checks(_results(**good))]
    assert len(lines) == 10 and all(line.endswith(" yes") for line in lines), lines
    bad = {"B_true": 0.95, "C3_other": 1.1, "C2_shifted": 1.4, "C3_noise 200": 0.9}
    for name, value in bad.items():
        wrong = [x for x in checks(_results(**good | {name: value})) if x.endswith(" NO")]
        assert wrong, name
    assert all(line.endswith("not measured") for line in checks({}))
    printed = table(_results(**good))
    assert "C2  shifted" in printed and "1.1000 ±0.0000" in printed
