"""Consistency of results with their input."""

from pathlib import Path

import numpy as np
import pytest
from evaluated_clips import noise, psnr_of, run, scores_of, write


@pytest.mark.parametrize("count", [5, 6])  # with and without a frame after the last of the input
def test_consistency_with_the_input_every_second_frame(tmp_path: Path, count: int) -> None:
    low = noise(3, count=3, height=8, width=12)
    high = np.repeat(np.repeat(low, 4, 1), 4, 2)
    frames = noise(4, count=count)
    frames[::2] = high
    pred, lr = write(tmp_path / "p" / "a", frames), write(tmp_path / "l" / "a", low)
    file = tmp_path / "s.json"
    for given in (lr, tmp_path / "l"):
        assert run(pred, pred, "--metrics=psnr", f"--lr={given}", f"--json={file}") == 0
        assert list(scores_of(file)["mean"]) == ["psnr", "lr_consistency"]
        assert float(scores_of(file)["mean"]["lr_consistency"]) > 200  # rounding of float64
    low[1] += 3
    lr = write(tmp_path / "m", low)
    assert run(pred, pred, "--metrics=psnr", f"--lr={lr}", f"--json={file}") == 0
    # Of the mean squared error of three frames, of which one is off.
    expected = psnr_of(3) + 10 * np.log10(3)
    assert scores_of(file)["mean"]["lr_consistency"] == pytest.approx(expected)


def test_consistency_goes_by_the_rates_of_videos(tmp_path: Path) -> None:
    grey = [np.full((32, 48, 3), 40 + 40 * i, np.uint8) for i in range(4)]
    slow = [np.full((16, 24, 3), 40 + 60 * i, np.uint8) for i in range(3)]
    pred, lr = write(tmp_path / "a.mp4", grey, 36), write(tmp_path / "l.mp4", slow, 24)
    file = tmp_path / "s.json"
    # Three halves: frames 0 and 2 of the input meet 0 and 3 of the result.
    assert run(pred, pred, "--metrics=psnr", f"--lr={lr}", f"--json={file}") == 0
    assert float(scores_of(file)["mean"]["lr_consistency"]) > 40
