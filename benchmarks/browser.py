"""How pages are shown in a headless Chromium."""

BROWSER_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
