"""Takes screenshots of reports in a headless Chromium: three widths, and dark.

    python -m benchmarks.report_screens --page=RESULTS/OUT.mp4.html --folder=SCREENS

Needs playwright (extra `test`) and an installed Chromium; writes SCREENS/OUT.mp4-360.png, ....
"""

import shutil
from pathlib import Path

from absl import app, flags

from benchmarks.browser import BROWSER_FLAGS

PAGE = flags.DEFINE_string("page", None, "page to show", required=True)
FOLDER = flags.DEFINE_string("folder", None, "folder to write to", required=True)
WIDTHS = flags.DEFINE_list("widths", ["360", "768", "1440"], "widths of the window in pixels")


def main(argv: list[str]) -> None:
    del argv
    # Not at the top: others take the flags, also where it is not installed.
    from playwright.sync_api import sync_playwright  # pyright: ignore[reportMissingImports]

    page_file, folder = Path(PAGE.value).resolve(), Path(FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=BROWSER_FLAGS
        )
        widths = [int(width) for width in WIDTHS.value]
        for width, is_dark in [*((width, False) for width in widths), (widths[-1], True)]:
            page = browser.new_page(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if is_dark else "light",
            )
            page.goto(page_file.as_uri())
            page.wait_for_timeout(500)
            suffix = "-dark" if is_dark else ""
            path = folder / f"{page_file.stem}-{width}{suffix}.png"
            page.screenshot(path=path, full_page=True)
            print(path)
            page.close()
        browser.close()


if __name__ == "__main__":
    app.run(main)
