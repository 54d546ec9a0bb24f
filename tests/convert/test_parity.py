"""Recordings of the official program, replayed."""

import dataclasses
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from venhancer_jax.convert.parity import recipe
from venhancer_jax.convert.parity.__main__ import main, replay
from venhancer_jax.convert.parity.case import Case, compare, equal, nearly_equal_bytes
from venhancer_jax.convert.parity.recording import Recording, find
from venhancer_jax.pipelines import registry

GOLDENS = Path(__file__).parents[1] / "goldens" / "venhancer"
# Networks of published size, several networks, or gradients: half a minute to minutes each.
SLOW = {
    "a1_allkey",
    "a4_nomask",
    "a5_oneframe",
    "clip_text_full",
    "flops",
    "pipeline_p1",
    "solver_sample",
    "train_step_r32",
    "vae_temporal_full",
    "vae_temporal_reduced",
    "vae_tiled_decode_reduced",
}


@pytest.fixture(scope="module")
def recordings() -> dict[str, Recording]:
    return {recording.path.stem: recording for recording in find([str(GOLDENS)])}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in sorted(
            p.stem
            for p in GOLDENS.iterdir()
            if not (p.suffix == ".json" and p.with_suffix(".safetensors").exists())
        )
    ],
)
def test_recording_is_met(recordings: dict[str, Recording], name: str):
    assert_met(recordings[name])


def assert_met(recording: Recording) -> list[Case]:
    cases = replay(recording)
    assert cases
    assert [case for case in cases if not case.passed] == []
    return cases


def test_a_network_is_met(recordings: dict[str, Recording]):
    whole = recordings["a5_oneframe"]
    # The UNet alone is compiled apart.
    kept = {n: x for n, x in whole.tensors.items() if n != "out_base_unet_no_control"}
    assert len(assert_met(dataclasses.replace(whole, tensors=kept))) == 14


def test_an_autoencoder_over_time_is_met(recordings: dict[str, Recording]):
    whole = recordings["vae_temporal_reduced"]
    kept = {n: x for n, x in whole.tensors.items() if n != "dec_1frame"}
    assert len(assert_met(dataclasses.replace(whole, tensors=kept))) == 4


@pytest.mark.slow
def test_a_count_of_operations_is_met(recordings: dict[str, Recording]):
    whole = recordings["flops"]
    table = {"32x90x160": whole.info["table"]["32x90x160"]}
    assert_met(dataclasses.replace(whole, info={**whole.info, "table": table}))


def test_samplers_are_met(recordings: dict[str, Recording], tmp_path: Path):
    whole = recordings["solver_sample"]
    names = ("single_heun", "chunk_40_i2")
    kept = {name: facts for name, facts in whole.companion().items() if name in names}
    assert len(kept) == 2
    (tmp_path / "solver_sample.json").write_text(json.dumps(kept))
    cases = assert_met(dataclasses.replace(whole, path=tmp_path / whole.path.name))
    assert len(cases) == 9


def test_every_kind_of_recording_is_guarded(recordings: dict[str, Recording]):
    kinds = {recording.kind for recording in recordings.values()}

    assert {
        "network", "block", "embedding", "schedule", "timesteps", "solver", "sampler", "denoise",
        "blend", "chunks", "sizes", "tokens", "flops", "vae_temporal", "vae_kl",
        "vae_tiled_decode", "text", "resize", "pipeline", "train_step", "color",
    } <= kinds  # fmt: skip
    assert {recording.system for recording in recordings.values()} == {"venhancer"}


def test_a_recording_of_another_system_has_no_replay(recordings: dict[str, Recording]):
    tokens = recordings["tokens"]
    (case,) = replay(dataclasses.replace(tokens, info={**tokens.info, "system": "other"}))
    assert not case.passed
    assert case.note == "unknown kind 'tokens' of system 'other'"


def test_shared_replays_use_the_weights_of_the_system(
    recordings: dict[str, Recording], monkeypatch: pytest.MonkeyPatch
):
    other = types.ModuleType("other_parity")
    other.KINDS, other.TABLES = {}, {}
    other.RECIPES = {"other": lambda name, shape: 2 * recipe.weight(name, shape)}
    monkeypatch.setitem(sys.modules, "other_parity", other)
    spec = dataclasses.replace(registry.find_system("venhancer"), parity="other_parity")
    monkeypatch.setitem(sys.modules, "other_spec", types.SimpleNamespace(SPEC=spec))
    monkeypatch.setitem(registry.SYSTEMS, "other", "other_spec")
    text = recordings["clip_text_reduced"]
    (case,) = replay(dataclasses.replace(text, info={**text.info, "system": "other"}))
    assert not case.passed  # the weights are twice those of the recording
    assert 0.1 < case.relative < 10


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
