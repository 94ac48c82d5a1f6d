"""Opens a file in headless Chromium, and notes whatever it complains of or asks for.

with opened(file, width=360, dark=True) as seen:
    seen.page.click(...)           # playwright's page
    assert seen.clean              # no console message, no error, no request but for the file itself
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Chromium's own sandbox is refused to root, as which containers run their tests.
_OPTIONS = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


@dataclass
class Seen:
    """A page, and what it said and asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def is_clean(self, file: Path) -> bool:
        """Whether it said nothing and asked for nothing but the file and what the file itself holds."""
        return not self.said and {url for url in self.asked if not url.startswith("data:")} == {file.as_uri()}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that can reach nothing: every host name leads nowhere."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=[*_OPTIONS, "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(browser: Browser, file: Path, *, width: int = 1280, dark: bool = False, **more: Any) -> Iterator[Seen]:
    """The file in a window of that width; `more` is what playwright's `new_context` takes."""
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **more)
    try:
        seen = Seen(context.new_page())
        seen.page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.said.append(str(error)))
        seen.page.on("request", lambda request: seen.asked.append(request.url))
        seen.page.goto(file.as_uri())
        yield seen
    finally:
        context.close()
