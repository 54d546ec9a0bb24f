"""The notebook runs from its first cell to its last."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs/quickstart.ipynb"


# Enough for a frame between two key frames.
FRAMES = 2
SHORTER = {
    '"--config.report=True"': f'"--config.report=True", "--config.max_frames={FRAMES}"',
    "[*read_frames(probe(demo_clip()))]": f"[*read_frames(probe(demo_clip()))][:{FRAMES}]",
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Code cells of the notebook, run in an empty folder on the first frames of the clip."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    found = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for text, shorter in SHORTER.items():
        (cell,) = (cell for cell in found if text in cell.source)
        cell.source = cell.source.replace(text, shorter)
    folder = str(tmp_path_factory.mktemp("notebook"))
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": folder}}
    ).execute()
    return found


def shown(cell: nbformat.NotebookNode) -> dict:
    """What the last line of a cell displays, by its type."""
    return cell.outputs[-1].get("data", {})


def test_the_command_writes_clip_and_report(cells: list):
    assert "wrote enhanced.mp4" in cells[0].outputs[0].text
    assert "enhanced.mp4.html" in shown(cells[2])["text/html"]


def test_the_comparison_is_a_picture(cells: list):
    assert shown(cells[1])["image/png"]


def test_python_gets_the_frames_of_the_command(cells: list):
    assert shown(cells[3])["text/plain"] == f"({2 * FRAMES}, (144, 256, 3))"


def test_the_notebook_is_stored_without_results():
    stored = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in stored.cells)
