"""Reports in a headless Chromium: by keyboard, on a phone, in the dark, offline, in motion."""

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from report.report_clips import ATTACK, HOSTILE, RUN, config_of, make_pair

from benchmarks.browser import BROWSER_FLAGS
from venhancer_jax.report import Failure, write_index, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs an installed Chromium"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="needs playwright, which drives Chromium",
    ),
]
SIDES = ("before", "after")
# Colours of texts against what is behind them, as WCAG 2.2 computes contrast.
CONTRASTS = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0.5) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden, .skip, script, legend")) continue;
    const style = getComputedStyle(e), isSvg = e.namespaceURI.endsWith("svg");
    if (isSvg && e.tagName === "title") continue;
    const [a, b] = [light(parse(isSvg ? style.fill : style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(e.tagName + " " + e.className + " " + ratio.toFixed(2));
  }
  return found;
}"""
# Mean level of a canvas, or -1 for an empty one.
LEVELS = """() => [...document.querySelectorAll("canvas")].map((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const red = data.filter((v, i) => i % 4 === 0);
  return data[3] ? red.reduce((sum, v) => sum + v, 0) / red.length : -1;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a report and of an index."""
    folder = tmp_path_factory.mktemp("pages")
    source, target = make_pair(folder)
    report = write_report(source, target, config=config_of(source, target), run=RUN)
    failure = Failure(name="bad.mp4", source=HOSTILE, reason=f"cannot be read {ATTACK}")
    index = write_index(folder, [failure])
    return {"report": report.as_uri(), "index": index.as_uri()}


@pytest.fixture
def opened(browser: Any, pages: dict[str, str]) -> Iterator[Any]:
    """Opens a page; at the end nothing was requested but the file, and nothing went wrong."""
    contexts, requests, messages = [], [], []

    def open_page(name: str, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1024, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda each: each.type == "error" and messages.append(each.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(pages[name])
        return page

    yield open_page
    for context in contexts:
        context.close()
    outside = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    assert not outside
    assert {url for url in requests if url.startswith("file:")} <= set(pages.values())
    assert not messages


def wait_for(page: Any, condition: str) -> None:
    """Waits until an expression is true; Playwright's own way is forbidden to these pages."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("report", 360, "dark"),
        ("report", 768, "light"),
        ("index", 360, "light"),
        # The contrasts are of colours that the first three have as well.
        pytest.param("report", 1440, "dark", marks=pytest.mark.slow),
        pytest.param("index", 768, "dark", marks=pytest.mark.slow),
        pytest.param("index", 1440, "dark", marks=pytest.mark.slow),
    ],
)
def test_widths_and_schemes(opened: Any, name: str, width: int, scheme: str):
    page = opened(name, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRASTS) == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    level = int(paper.removeprefix("rgb(").split(",")[0])
    assert level < 40 if scheme == "dark" else level > 220
    assert "hacked" not in page.title()


def test_by_keyboard_alone(opened: Any):
    page = opened("report")
    focused = "document.activeElement"
    seen = []

    def tab_to(what: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(f"{focused}.outerHTML.slice(0, 60)"))
            if page.evaluate(f"{focused}.matches({what!r})"):
                return
        raise AssertionError((what, seen))

    tab_to("a.skip")
    tab_to("[name=view]")
    tab_to("[name=zoom]")
    tab_to(".wipe")
    outline = page.evaluate(
        "getComputedStyle(document.querySelector('.chosen .divider'), '::after').outlineStyle"
    )
    assert outline == "solid"
    page.keyboard.press("End")
    stage = f"{focused}.closest('.stage')"
    assert page.evaluate(f"{stage}.style.getPropertyValue('--cut')") == "100%"
    chosen = page.evaluate("document.querySelector('.pair.chosen').id")
    tab_to("[name=pair]")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('.pair.chosen').id") != chosen
    assert page.evaluate("document.querySelector('.pair.chosen .wipe').value") == "100"
    assert page.locator(".pair:visible").count() == 1
    tab_to(".play")
    tab_to(".motion .wipe")
    tab_to(".plot .scroll")
    tab_to(".copy")
    tab_to("summary")
    page.keyboard.press("Enter")
    assert page.get_by_text("exact size of the output in pixels").is_visible()
    page.locator("[name=view]").first.focus()
    page.keyboard.press("ArrowRight")
    before, after = (page.locator(f".chosen img.{side}").bounding_box() for side in SIDES)
    assert before["x"] + before["width"] <= after["x"]
    assert not page.locator(".pair.chosen .wipe").is_visible()


def test_slider_follows_the_pointer(opened: Any):
    page = opened("report")
    box = page.locator(".pair.chosen .stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    cut = page.evaluate("document.querySelector('.chosen .stage').style.getPropertyValue('--cut')")
    assert abs(float(cut.removesuffix("%")) - 25) < 1.5


def test_pixels_of_the_result_are_pixels_of_the_screen(opened: Any):
    page = opened("report")
    page.get_by_role("radio", name="1:1").check()
    assert page.locator(".pair.chosen img.after").bounding_box()["width"] == 128
    page.get_by_role("radio", name="2:1").check()
    assert page.locator(".pair.chosen img.before").bounding_box()["width"] == 256


def test_both_halves_move_in_step(opened: Any):
    page = opened("report")
    wait_for(page, "Number(document.documentElement.dataset.frames) > 12")
    levels = [page.evaluate(LEVELS) for _ in range(6)]
    assert all(after > 5 and abs(after - before) < 4 for after, before in levels)
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("document.querySelector('video').paused")
    page.get_by_role("button", name="Play").click()
    page.get_by_label("Speed").select_option("0.25")
    assert page.evaluate("document.querySelector('video').playbackRate") == 0.25


def test_nothing_moves_where_motion_is_reduced(opened: Any):
    page = opened("report", reduced_motion="reduce")
    wait_for(page, f"({LEVELS})()[0] > 5")
    assert page.evaluate("document.querySelector('video').paused")
    assert page.get_by_role("button", name="Play").is_visible()


def test_page_without_scripts(opened: Any):
    page = opened("report", java_script_enabled=False)
    pictures = page.locator(".pair img")
    assert pictures.count() > 4
    assert all(pictures.nth(i).is_visible() for i in range(pictures.count()))
    assert page.locator(".motion video").is_visible()
    assert not page.locator(".play").is_visible()


def test_copy_takes_the_command(opened: Any):
    page = opened("report", viewport={"width": 360, "height": 800})
    # An argument that fits is on one line, with both of its hyphens.
    heights = page.evaluate(
        "[...document.querySelectorAll('.command span')].filter((e) => e.textContent.length < 28)"
        ".map((e) => e.offsetHeight)"
    )
    assert len(heights) > 4 and max(heights) < 30, heights
    page.locator(".copy").click()
    wait_for(page, "document.querySelector('.copy').textContent !== 'Copy'")
    assert page.locator(".copy").text_content() in ("Copied", "Selected")
