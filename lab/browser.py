"""Headless Chromium, and a server for the built site."""

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from lab import GuideError

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class BrowserError(GuideError):
    """There is no browser to look with."""


def executable() -> Path:
    """Chromium's path. Raises BrowserError when it is not installed."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    raise BrowserError(
        "Chromium: not installed — Debian: apt-get install chromium (see apt.txt)"
    )


@contextlib.contextmanager
def chromium() -> Iterator["object"]:
    """A Playwright `Browser`, closed at the end. Raises BrowserError."""
    path = executable()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def static(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of 127.0.0.1; yields the URL, without slash."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass
