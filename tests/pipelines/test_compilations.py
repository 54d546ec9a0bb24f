"""What a second clip, and a second run, compile: nothing."""

from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest
from pipelines.jax_events import COMPILE, events
from pipelines.tiny_system import clip, tiny_system

from venhancer_jax.pipelines import executables
from venhancer_jax.pipelines.executable_files import VARIABLE
from venhancer_jax.pipelines.options import EnhanceOptions

SYSTEM = tiny_system()
PROGRAMS = ("embed_text", "encode", "denoise", "decode")


def enhance(**changes) -> np.ndarray:
    short = {"up_scale": 1.0, "solver_mode": "normal", "steps": 3, "guidance_scale": 3.0}
    options = EnhanceOptions(**(short | changes))
    return np.stack([*SYSTEM.enhance(clip(3), rate=Fraction(10), options=options)])


def in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs forget what they have loaded."""
    for name in PROGRAMS:
        monkeypatch.setattr(getattr(executables, name), "_ready", {})


@pytest.mark.parametrize("kept", [True, False], ids=["files", "no files"])
def test_prompt_steps_and_guidance_compile_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
):
    monkeypatch.setenv(VARIABLE, str(tmp_path) if kept else "0")
    in_another_process(monkeypatch)
    first = enhance()
    with events() as seen:
        second = enhance(
            prompt="a fox", negative_prompt="a hen", steps=5, guidance_scale=4.0,
            guidance_rescale=0.5, noise_aug=100, noise_levels=800, seed=1,
        )  # fmt: skip
    assert seen[COMPILE] == 0
    assert (first != second).any()


def test_a_second_run_loads_what_the_first_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = enhance()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    jax.clear_caches()
    in_another_process(monkeypatch)
    first = enhance()
    files = sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert files == sorted(PROGRAMS)
    jax.clear_caches()
    in_another_process(monkeypatch)
    for name in PROGRAMS:  # neither traced nor lowered
        monkeypatch.setattr(getattr(executables, name), "_jitted", None)
    second = enhance()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(plain, second)
    assert len([*tmp_path.iterdir()]) == len(PROGRAMS)
