"""Headless Chromium, with named hosts over TLS, and a server for the built site."""

import contextlib
import functools
import gzip
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import GuideError
from lab.run import process

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
def chromium() -> Iterator[object]:
    """A Playwright `Browser`, closed at the end. Raises BrowserError."""
    path = executable()
    with _playwright() as playwright:
        with process.of_no_test():
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def named_hosts(folder: Path) -> Iterator[Callable[..., object]]:
    """Chromium for which every host of .test is this machine: gives
    `opened(third_party_cookies=True)`, a Playwright `BrowserContext`.

    On 127.0.0.1 two ports are one site, so cross-site rules would never act. Serve the
    hosts over TLS with `certificate`; nobody checks who signed it. Each kind of context
    has a profile in `folder`, and is closed at the end. With third-party cookies it is
    as Chrome is unless told; Debian's Chromium and private windows block them, which
    hides an attack. Raises BrowserError.
    """
    path = executable()
    flags = [*FLAGS, "--host-resolver-rules=MAP *.test 127.0.0.1"]
    with _playwright() as playwright, contextlib.ExitStack() as stack:

        @functools.cache
        def opened(third_party_cookies: bool = True) -> object:
            profile = folder / f"third-party-{third_party_cookies}"
            choice = {
                "cookie_controls_mode": 0 if third_party_cookies else 1,
                "block_third_party_cookies": not third_party_cookies,
            }
            (profile / "Default").mkdir(parents=True)
            preferences = profile / "Default" / "Preferences"
            preferences.write_text(json.dumps({"profile": choice}), "utf-8")
            with process.of_no_test():
                context = playwright.chromium.launch_persistent_context(
                    profile, executable_path=path, args=flags, ignore_https_errors=True
                )
            stack.callback(context.close)
            return context

        yield opened


@contextlib.contextmanager
def visitor(context) -> Iterator[object]:
    """A Playwright `Page` in a context of `named_hosts`; at its end it is closed, and the
    cookies are cleared, since another visitor has the same context."""
    context.set_default_timeout(20_000)
    page = context.new_page()
    try:
        yield page
    finally:
        # closed in the middle of a navigation, a page may never answer
        page.goto("about:blank")
        page.close()
        context.clear_cookies()


@contextlib.contextmanager
def _playwright() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            playwright = stack.enter_context(sync_playwright())
        yield playwright


def certificate(folder: Path, *hosts: str) -> Path:
    """A file in `folder` with a key and a certificate for the hosts, both in PEM:
    what `tls.createServer` takes as `key` and as `cert`."""
    import trustme

    path = folder / "tls.pem"
    issued = trustme.CA().issue_cert(*hosts)
    issued.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


@contextlib.contextmanager
def static(folder: Path, prefix: str = "") -> Iterator[str]:
    """Serve a folder on a free port of 127.0.0.1 as a static host would: gzipped,
    under a path (`prefix`, e.g. "/guide"), with 404.html for what is not there, and
    with the response headers of its `_headers` file. Yields the URL, without slash at
    the end."""
    handler = functools.partial(_Static, directory=str(folder), prefix=prefix)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{prefix}"
        finally:
            server.shutdown()
            thread.join()


def _headers(file: Path) -> list[tuple[str, str]]:
    """What stands under `/*` in a `_headers` file, if there is one, as hosts of static
    sites read it."""
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    pairs = (line.partition(":") for line in lines if line.startswith(" "))
    return [(name.strip(), value.strip()) for name, _, value in pairs]


class _Static(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, as every host does

    def __init__(self, *args, prefix: str, **options):
        self.prefix = prefix
        super().__init__(*args, **options)

    def do_GET(self):
        file = Path(self.translate_path(self.path.removeprefix(self.prefix)))
        if file.is_dir():
            file /= "index.html"
        status = 200
        if not self.path.startswith(f"{self.prefix}/") or not file.is_file():
            status, file = 404, Path(self.directory, "404.html")
        body = file.read_bytes() if file.is_file() else b"not found"
        kind = self.guess_type(str(file))
        text = kind.startswith("text/") or kind.endswith(("json", "javascript", "xml"))
        self.send_response(status)
        if text and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if text else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600")
        # read now: a site may be built after its address is known
        for name, value in _headers(Path(self.directory, "_headers")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass
