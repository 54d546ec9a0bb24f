"""Recordings of the official program, replayed."""

import json
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.convert.parity.__main__ import main, replay
from venhancer_jax.convert.parity.case import compare, equal, nearly_equal_bytes
from venhancer_jax.convert.parity.recording import Recording, find

GOLDENS = Path(__file__).parents[1] / "goldens" / "venhancer"
# Weights of published size: minutes and gigabytes.
FULL_SIZE = {"clip_text_full", "vae_temporal_full"}


def _recordings() -> list:
    return [
        pytest.param(r, id=r.path.stem, marks=[pytest.mark.slow] if r.name in FULL_SIZE else [])
        for r in find([str(GOLDENS)])
    ]


@pytest.mark.parametrize("recording", _recordings())
def test_recording_is_met(recording: Recording):
    cases = replay(recording)

    assert cases
    assert [case for case in cases if not case.passed] == []


def test_every_kind_of_recording_is_guarded():
    kinds = {recording.kind for recording in find([str(GOLDENS)])}

    assert {
        "network", "block", "embedding", "schedule", "timesteps", "solver", "sampler", "denoise",
        "blend", "chunks", "sizes", "tokens", "flops", "vae_temporal", "vae_kl",
        "vae_tiled_decode", "text", "resize", "pipeline",
    } <= kinds  # fmt: skip


def test_a_difference_beyond_the_tolerance_fails():
    recorded = np.ones(100, np.float32)

    assert compare("x", recorded * (1 + 9e-6), recorded, 1e-5).passed
    assert not compare("x", recorded * (1 + 2e-5), recorded, 1e-5).passed
    assert not compare("x", recorded[:50], recorded, 1e-5).passed
    assert not compare("x", recorded * np.nan, recorded, 1e-5).passed
    assert not equal("x", [1, 2], [1, 3]).passed


def test_half_precision_recordings_are_met_to_half_precision():
    recorded = np.linspace(1, 2, 100).astype(np.float16)

    case = compare("x", recorded.astype(np.float32) * (1 + 4e-4), recorded, 1e-5)

    assert case.passed
    assert case.tolerance == 5e-4


def test_bytes_may_round_differently_once_in_two_hundred():
    recorded = np.zeros((10, 100, 3), np.uint8)
    near, far, many = recorded.copy(), recorded.copy(), recorded.copy()
    near[0, :10, 0] = 1
    far[0, 0, 0] = 2
    many[0, :20] = 1

    assert nearly_equal_bytes("x", near, recorded).passed
    assert not nearly_equal_bytes("x", far, recorded).passed
    assert not nearly_equal_bytes("x", many, recorded).passed


def test_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main([str(GOLDENS / "tokens.json"), str(GOLDENS / "blend_gauss.safetensors")]) == 0
    assert "0 out of tolerance" in capsys.readouterr().out

    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "no recordings" in capsys.readouterr().err

    table = json.loads((GOLDENS / "tokens.json").read_text())
    table["tokens"][0][3] += 1
    (tmp_path / "tokens.json").write_text(json.dumps(table))
    assert main([str(tmp_path / "tokens.json")]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_unknown_kinds_fail_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "odd.json").write_text('{"something": 1}')

    assert main([str(tmp_path)]) == 1
    assert "unknown kind" in capsys.readouterr().out
