"""The page of a folder: what is done, resumed, interrupted and failed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from pipelines.tiny_system import clip
from report.report_clips import HOSTILE, RUN, make_pair
from report.test_page import Page
from video.video_clips import make_video

from venhancer_jax.cli.report import main as report
from venhancer_jax.cli.sample import main
from venhancer_jax.errors import InputError
from venhancer_jax.pipelines.registry import SYSTEMS
from venhancer_jax.report import Failure, page_path, write_index, write_report
from venhancer_jax.report import jobs as report_jobs

TOY = """
from venhancer_jax.pipelines.config import enhancement_config

def get_config():
    config = enhancement_config("toy")
    config.window, config.segment_windows, config.report = 4, 1, True
    return config.lock()
"""
FAILED = Failure(name="bad.mp4", source=f"{HOSTILE}.avi", reason="<b>cannot</b> be read")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in a folder with two videos, one of which is none, and a config of the toy."""
    monkeypatch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    make_video(Path("in/good.mp4"), clip(6))
    Path("in/bad.mp4").write_text("no video\n" * 100)
    Path("toy.py").write_text(TOY)
    return tmp_path


def states(page: Page) -> list[str]:
    found = (a.get("class") or "" for a in page.all("span"))
    return [name.removeprefix("state ") for name in found if name.startswith("state ")]


def test_states_of_a_folder(tmp_path: Path):
    source, target = make_pair(tmp_path)
    write_report(source, target, run=RUN)
    other = Path(shutil.copy(target, tmp_path / "other.mp4"))
    write_report(source, other, run=replace(RUN, started=RUN.started[:1]))
    job = tmp_path / "half.mp4.job"
    job.mkdir()
    for name in ("manifest.json", "000000.json", "000001.json"):
        (job / name).write_text("{}")
    page = Page(write_index(tmp_path, [FAILED]))
    assert states(page) == ["failed", "interrupted", "done", "resumed"]
    text = page.text("li")
    assert "<b>cannot</b> be read" in text
    assert FAILED.source in text
    assert "2 parts finished" in text
    assert "in 2 runs" in text
    links = [a["href"] for a in page.all("a") if a["href"] != "#main"]
    assert all(link and not link.startswith(("javascript", "/", "http")) for link in links)
    assert "other.mp4.html" in links
    assert "other.mp4" in links
    assert len(page.all("img")) == 2
    assert len(page.all("script")) == 2


def test_failures_stay_until_there_is_a_result(tmp_path: Path):
    write_index(tmp_path, [FAILED])
    assert states(Page(write_index(tmp_path))) == ["failed"]
    source, target = make_pair(tmp_path)
    target = target.rename(tmp_path / FAILED.name)
    write_report(source, target)
    assert states(Page(write_index(tmp_path))) == ["done"]
    assert states(Page(write_index(tmp_path))) == ["done"]
    assert states(Page(write_index(tmp_path, [FAILED]))) == ["failed"]


def test_own_index_is_not_replaced(tmp_path: Path):
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(InputError, match="is no report"):
        write_index(tmp_path)
    assert report([f"--folder={tmp_path}"]) == 2
    assert (tmp_path / "index.html").read_text() == "my own page"


@pytest.mark.usefixtures("folder")
def test_run_of_a_folder_writes_pages_and_index():
    settings = ["--config=toy.py", "--config.input=in", "--config.output=out"]
    assert main(settings) == 2
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "good.mp4", "good.mp4.html", "index.html",
    ]  # fmt: skip
    index = Page(Path("out/index.html"))
    assert states(index) == ["failed", "done"]
    assert "bad.mp4" in index.text("h3")
    page = Page(page_path(Path("out/good.mp4")))
    assert "Time and memory" in page.text("h2")
    assert "Write" in page.text("th")
    assert "1 segment border: " in page.text("figcaption")
    whole = Path("out/good.mp4").read_bytes()
    assert main([*settings, "--config.report=False", "--config.output=plain"]) == 2
    assert Path("plain/good.mp4").read_bytes() == whole
    assert [path.name for path in Path("plain").iterdir()] == ["good.mp4"]


@pytest.mark.usefixtures("folder")
def test_result_without_a_page_is_a_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def fails(*args, **kwargs):
        raise ZeroDivisionError("no page")

    monkeypatch.setattr(report_jobs, "write_report", fails)
    assert main(["--config=toy.py", "--config.input=in/good.mp4", "--config.output=a.mp4"]) == 0
    assert "no report could be written (ZeroDivisionError: no page)" in capsys.readouterr().out
    assert Path("a.mp4").exists()
    assert not Path("a.mp4.job").exists()
    assert not Path("index.html").exists()
