"""Live reload, and a build that is stopped by a mistake."""

import os
import re
import signal
import time

import httpx
import psutil
import pytest

from lab.publish import hook
from lab.run import process, services

from ..shared import in_copy

EDITS = (
    # page, file, what stands there, what is put in its place
    (
        "topics/event-loop",
        "docs/topics/event-loop/index.md",
        "\n## How",
        "\nEdited page.\n\n## How",
    ),
    (
        "topics/event-loop/claims",
        "snippets/event-loop/order.mjs",
        "order]\n",
        "order]\n// Edited code.\n",
    ),
    (
        "notebooks/event-loop",
        "notebooks/event-loop.ipynb",
        "the measurements",
        "Edited book.",
    ),
    ("topics/event-loop", "lab/publish/blocks.py", 'f"proved with', 'f"Edited lab.'),
)


@pytest.mark.timeout(900)  # of a clock that other work on the machine shares
def test_serve_shows_edits_in_docs_snippets_notebooks_and_lab(copy):
    port = services.free_port()

    def shows(page, text):
        try:
            return text in httpx.get(f"http://127.0.0.1:{port}/{page}/").text
        except httpx.TransportError:
            return False

    child, token = in_copy(copy, "-m", "lab", "serve", "--port", str(port))
    server = psutil.Process(child.pid)

    def shown(page, text):
        """Not within so much of the server's own time, however busy the machine is."""

        def spent() -> float:
            each = (server, *server.children(recursive=True))
            return sum(sum(one.cpu_times()[:2]) for one in each)

        begun = spent()
        while not shows(page, text):
            assert spent() - begun < 60, (text, page, (copy / "log").read_text("utf-8"))
            time.sleep(0.1)

    try:
        shown("topics/event-loop", "</html>")
        for page, path, old, new in EDITS:
            file = copy / path
            assert old in file.read_text("utf-8")
            file.write_text(file.read_text("utf-8").replace(old, new, 1), "utf-8")
            shown(page, re.search(r"Edited \w+\.", new)[0])
        os.kill(child.pid, signal.SIGTERM)  # this one alone, not its group
        process.until(lambda: not process.survivors(token), 60, "the server is gone")
    finally:
        process.end(child, token, grace=10)


def test_serve_looks_at_no_npm_package(tmp_path):
    for path in ("node_modules/a", "jwt/exercises", "observability/agents/node_modules"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "observability" / "app.mjs").touch()
    watched = sorted(str(path.relative_to(tmp_path)) for path in hook.watched(tmp_path))
    assert watched == ["jwt", "observability/app.mjs"]


@pytest.mark.timeout(900)
def test_a_page_with_a_dead_anchor_stops_the_build(copy):
    page = copy / "docs" / "index.md"
    page.write_text(page.read_text("utf-8") + "\n[x](topics/event-loop/index.md#none)\n")
    child, token = in_copy(copy, "-m", "lab", "site")
    try:
        assert process.wait(child, 600)
    finally:
        process.end(child, token, grace=0)
    assert child.returncode == 1
    log = (copy / "log").read_text("utf-8")
    assert "does not contain an anchor '#none'" in log
    assert log.splitlines()[-1] == "mkdocs build: failed — its warnings are above"
