"""The page by clicks, in a real browser without a window."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="needs Gradio: pip install 'venhancer-jax[app]'")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from app.conftest import TOY
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.browser import BROWSER_FLAGS
from venhancer_jax.app.arguments import config_of, rows_of
from venhancer_jax.app.files import Folders
from venhancer_jax.app.jobs import JobQueue
from venhancer_jax.app.serve import start_server
from venhancer_jax.cli import sample
from venhancer_jax.pipelines.registry import SYSTEMS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: apt-get install chromium")
# Seconds to wait at each frame: long enough for a click in between.
START = [TOY, "--config.delay=0.06"]
MAX_UPLOAD = 200_000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, first_clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("app") / "work"
    folder.mkdir()
    shutil.copy(first_clip, folder / "in.mp4")
    (folder.parent / "secret.mp4").write_bytes(first_clip.read_bytes())
    return folder


@pytest.fixture(scope="module")
def address(work: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SYSTEMS, "toy", "pipelines.toy_system")
        folders = Folders(work)
        queue = JobQueue(folders)
        page, address = start_server(START, folders, queue, max_upload=MAX_UPLOAD)
        yield address
        page.close()
        queue.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(address)
    expect(page.locator("#run")).to_be_visible()
    yield page
    page.close()
    outside = [url for url in requested if not url.startswith((address, "data:", "blob:"))]
    assert not outside


def fill(page: Page, key: str, value: str) -> None:
    """Types a value into the control of a setting, which may be in a closed group."""
    field = page.locator(f"#setting-{key} :is(input, textarea)").first
    if not field.is_visible():
        group = next(row.group for row in rows_of(config_of(START)) if row.key == key)
        page.get_by_role("button", name=re.compile(f"^{group}", re.IGNORECASE)).click()
        # A field that has just appeared takes its default once more.
        page.wait_for_timeout(500)
    field.fill(value)
    field.blur()


def run(page: Page, output: str, button: str = "run", **values: Any) -> None:
    fill(page, "input", str(values.pop("input", "in.mp4")))
    fill(page, "output", output)
    for key, value in values.items():
        fill(page, key, str(value))
    page.locator(f"#{button}").click()


def shows(page: Page, state: str) -> None:
    expect(page.locator("#panel .state")).to_have_text(state)


def test_from_the_upload_to_the_download(page: Page, work: Path, first_clip: Path, tmp_path: Path):
    """A refused path, an upload, a run with progress, cancelled and resumed, compared and saved."""
    run(page, "uploaded.mp4", input="/etc/passwd")
    expect(page.locator("#message .error")).to_contain_text("outside the folders of this page")
    page.locator("#upload input[type=file]").set_input_files(first_clip)
    stored = work / "uploads" / "in.mp4"
    expect(page.locator("#setting-input :is(input, textarea)")).to_have_value(str(stored))
    expect(page.locator("#facts")).to_contain_text("32 x 24, 11 frames")
    fill(page, "delay", "0.2")
    page.locator("#run").click()
    expect(page.locator("#panel")).to_contain_text(re.compile("frame ([2-9]|10) of 11"))
    expect(page.locator("#panel")).to_contain_text(" left")
    expect(page.locator("#message .error")).to_have_count(0)
    page.locator("#cancel").click()
    shows(page, "cancelled")
    finished = {path: path.stat().st_ino for path in work.glob("uploaded.mp4.job/*.mp4")}
    assert finished and not (work / "uploaded.mp4").exists()
    page.locator("#again").click()
    expect(page.locator("#panel")).to_contain_text(re.compile("running.*frame [1-9]", re.DOTALL))
    assert all(path.stat().st_ino == number for path, number in finished.items())
    shows(page, "done")
    pictures = page.locator("#compare img")
    expect(pictures.first).to_be_visible()
    assert all(".png" in str(image.get_attribute("src")) for image in pictures.all())
    middle = str(pictures.first.get_attribute("src"))
    number = page.locator("#frame input[type=number]")
    number.fill("10")
    number.press("Enter")
    number.blur()
    expect(pictures.first).not_to_have_attribute("src", middle)
    width = "() => document.querySelector('video').videoWidth"
    page.wait_for_function(f"({width})() == 32")
    with page.expect_download() as download:
        page.locator("a.download").click()
    download.value.save_as(tmp_path / "downloaded.mp4")
    # The command that the page shows, with another output.
    page.locator("#command summary").click()
    assert f"--config.output={work / 'uploaded.mp4'}" in page.locator("#command pre").inner_text()
    arguments = [*START, "--config.delay=0.01", f"--config.input={stored}"]
    assert sample.main([*arguments, f"--config.output={tmp_path / 'cli.mp4'}"]) == 0
    assert (tmp_path / "downloaded.mp4").read_bytes() == (tmp_path / "cli.mp4").read_bytes()


@pytest.mark.slow
def test_second_click_two_jobs_and_a_closed_browser(page: Page, browser: Browser, address: str):
    run(page, "one.mp4", delay=0.5)
    shows(page, "running")
    page.locator("#run").click()
    expect(page.locator("#message .error")).to_contain_text("one.mp4 is running already")
    run(page, "two.mp4")
    expect(page.locator("#panel .state")).to_have_text("waiting")
    expect(page.locator("#message .error")).to_have_count(0)
    expect(page.locator("#panel")).to_contain_text("position 2 in the queue")
    expect(page.locator("#panel li")).to_contain_text("one.mp4: running")
    page.close()
    later = browser.new_page()
    later.goto(address)
    expect(later.locator("#panel .state")).to_have_text("done")
    expect(later.locator("#watch")).to_contain_text("two.mp4")
    expect(later.locator("#compare img").first).to_be_visible()
    later.close()


@pytest.mark.slow
def test_preview(page: Page, work: Path):
    run(page, "previewed.mp4", button="preview")
    expect(page.locator("#panel")).to_contain_text("Preview of previewed.mp4")
    shows(page, "done")
    expect(page.locator("#panel")).to_contain_text("the whole would take about")
    expect(page.locator("#compare img").first).to_be_visible()
    assert (work / "previewed.preview.mp4").exists() and not (work / "previewed.mp4").exists()


@pytest.mark.slow
def test_wrong_inputs_are_explained_where_the_person_looks(page: Page, work: Path):
    before = {path.name for path in work.iterdir()}
    for values, words in [
        ({"input": ""}, "no video: upload one"),
        ({"input": "/etc/passwd"}, "outside the folders of this page"),
        ({"input": "../secret.mp4"}, "expected a path without '..'"),
        ({"input": "absent.mp4"}, "no such file"),
        ({"output": "/tmp/outside.mp4"}, "outside the folders of this page"),
        ({"output": "new.avi"}, "cannot be written to '.avi'"),
        ({"output": "in.mp4"}, "this output is also an input"),
        ({"max_frames": "0"}, "max_frames"),
        ({"start_time": "100"}, "give a time before its end"),
        ({"picture_fps": "2000"}, "expected a number from 0.01 to 1000"),
    ]:
        run(page, **({"output": "new.mp4"} | values))
        expect(page.locator("#message .error")).to_contain_text(words)
        for key, default in (("max_frames", ""), ("start_time", "0"), ("picture_fps", "24")):
            if key in values:
                fill(page, key, default)
    text = page.locator("body").inner_text()
    assert "Traceback" not in text and {path.name for path in work.iterdir()} == before


@pytest.mark.slow
def test_uploads_that_are_refused(page: Page, work: Path, tmp_path: Path):
    (tmp_path / "notes.mp4").write_text("no video\n" * 100)
    (tmp_path / "large.mp4").write_bytes(bytes(MAX_UPLOAD + 1))
    upload = page.locator("#upload input[type=file]")
    upload.set_input_files(tmp_path / "notes.mp4")
    expect(page.locator("#facts .error")).to_contain_text("notes.mp4: not a video or image")
    assert not (work / "uploads" / "notes.mp4").exists()
    page.reload()
    upload.set_input_files(tmp_path / "large.mp4")
    expect(page.get_by_text(re.compile("exceeds|too large|maximum", re.IGNORECASE)).first).to_be_visible()  # fmt: skip  # noqa: E501
    assert not [*work.rglob("large.mp4")]
