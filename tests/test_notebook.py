"""The notebook runs from its first cell to its last."""

import ast
import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
from video.video_clips import make_video

from venhancer_jax import assets
from venhancer_jax.cli.__main__ import main
from venhancer_jax.data.resample import resample, to_uint8
from venhancer_jax.video import probe, read_frames

NOTEBOOK = Path(__file__).parents[1] / "docs/quickstart.ipynb"


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """What each cell prints, and the value of its last line, in this process and on a small clip.

    Its shape is that of the clip of the demo model's test, with which it shares what is compiled.
    """
    folder = tmp_path_factory.mktemp("notebook")
    frames = np.stack([*read_frames(probe(assets.demo_clip()))][:3]).astype(np.float32)
    small = make_video(folder / "small.mp4", [*to_uint8(resample(frames, (36, 64), "area"))])
    found, names = [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(assets, "demo_clip", lambda: small)
        patch.setattr(subprocess, "run", run_here)
        for cell in code_cells(nbformat.read(NOTEBOOK, as_version=4)):
            *before, last = ast.parse(cell.source).body
            assert isinstance(last, ast.Expr)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(ast.Module(before, []), "cell", "exec"), names)
                value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
            found.append((printed.getvalue(), value))
    return found


def run_here(command: list[str], **_: Any) -> subprocess.CompletedProcess:
    """Runs a command of the package in this process."""
    assert command[:3] == [sys.executable, "-m", "venhancer_jax.cli"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main(command[3:])
    assert code == 0
    return subprocess.CompletedProcess(command, code, printed.getvalue())


def test_the_command_writes_clip_and_report(shown: list):
    assert "wrote enhanced.mp4" in shown[0][0]
    assert "enhanced.mp4.html" in shown[2][1]._repr_html_()


def test_the_comparison_is_a_picture(shown: list):
    assert shown[1][1].data.startswith(b"\x89PNG")


def test_python_gets_the_frames_of_the_command(shown: list):
    assert shown[3][1] == (6, (72, 128, 3))


@pytest.mark.slow
def test_it_runs_in_a_kernel(tmp_path: Path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
    cells = code_cells(notebook)
    assert "wrote enhanced.mp4" in cells[0].outputs[0].text
    assert cells[1].outputs[-1].data["image/png"]
    assert (tmp_path / "enhanced.mp4.html").stat().st_size > 10_000


def test_the_notebook_is_stored_without_results():
    stored = code_cells(nbformat.read(NOTEBOOK, as_version=4))
    assert stored and all(not cell.get("outputs") for cell in stored)
