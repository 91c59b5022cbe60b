"""What a web scanner finds in either app."""

import contextlib
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import ROOT
from lab.run import node

from .shared import ANN, BEHIND, Visitor

# --- a scanner ----------------------------------------------------------------------

WAPITI = ROOT / "tests/tools/wapiti/.venv/bin/wapiti"

MODULES = "cookieflags,csp,http_headers,permanentxss,redirect,xss"


def scan(folder, server, person: dict) -> dict[str, int]:
    """Wapiti's findings by category, for somebody who is logged in."""
    visitor = Visitor(server, person)
    report = folder / "wapiti.json"
    argv = [
        WAPITI, "-u", f"{server.url}/orders", "-m", MODULES, "--scope", "folder",
        "--max-scan-time", "40", "--max-attack-time", "20", "--flush-session",
        "--store-session", folder / "session", "--store-config", folder / "config",
        "-s", f"{server.url}/login?next=/orders", "-s", f"{server.url}/orders/ord_1",
        "-H", f"Cookie: {visitor.headers['Cookie']}",
        "-H", "Sec-Fetch-Site: same-origin",
        "--no-bugreport", "-f", "json", "-o", report,
    ]  # fmt: skip
    done = subprocess.run(
        [str(part) for part in argv],
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    # all of them ran, so that nothing found is not nothing looked for
    assert all(f"Launching module {one}" in done.stdout for one in MODULES.split(","))
    assert report.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(report.read_text())
    kinds = {**found["vulnerabilities"], **found["anomalies"]}
    return {kind: len(items) for kind, items in kinds.items() if items}


@pytest.mark.heavy
@pytest.mark.claim("hardening/clean-scan", verdict="wrong")
def test_a_scanner_finds_holes_in_the_naive_app_and_none_in_the_hardened(twin, tmp_path):
    if not WAPITI.exists():
        pytest.skip("wapiti is not installed: run make heavy")

    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))
        scans = {}
        for snippet in ("app.naive.mjs", "app.mjs"):
            name = snippet.removesuffix(".mjs")
            path = twin(snippet, BEHIND, name=name)
            server = stack.enter_context(node.serve(path))
            (tmp_path / f"scan-{name}").mkdir()
            scan_ = pool.submit(scan, tmp_path / f"scan-{name}", server, ANN)
            scans[snippet] = server, scan_
        found = {snippet: scan_.result() for snippet, (_, scan_) in scans.items()}
        # what no scanner said: Ann reads Bob's
        for snippet, (server, _) in scans.items():
            bobs = Visitor(server, ANN).get("/orders/ord_2").status_code
            assert bobs == (200 if "naive" in snippet else 404)
    assert found["app.mjs"] == {}
    # what it did not find there: the open redirect, the forged form, the stack, and
    # that anybody reads and cancels anybody's order
    assert set(found["app.naive.mjs"]) == {
        "Reflected Cross Site Scripting", "Stored Cross Site Scripting",
        "Content Security Policy Configuration", "Clickjacking Protection",
        "MIME Type Confusion",
    }  # fmt: skip
