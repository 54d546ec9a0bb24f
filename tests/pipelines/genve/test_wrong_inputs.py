"""Wrong input of `sample.py --config=genve`: a message, exit code 2, nothing written."""

from pathlib import Path

import pytest

from venhancer_jax.startup import CACHE_VARIABLE

# Those with a network that is loaded: in the slow test of all systems.
LOADED = (
    "flow=raft",
    "reference=sd21",
    "checkpoint=weights",
    "checkpoint=other",
    "preset=demo",
    "image_checkpoint",
)


def test_wrong_inputs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from benchmarks.wrong_inputs import case, genve, shared

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    shared.write_inputs(genve.INPUTS.files)
    chosen = [c for c in genve.INPUTS.cases if not any(word in c.arguments for word in LOADED)]
    assert len(chosen) >= 20
    faults = {
        wrong.arguments: (result.faults, result.printed)
        for wrong in chosen
        if (result := case.run_case(wrong, genve.INPUTS.arguments, Path("cache"))).faults
    }
    assert faults == {}
