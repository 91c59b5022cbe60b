"""Snippets that are run and served, with the locked Node or another."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab import ROOT, GuideError
from lab.run import load, locks, node, process


def test_a_program_gives_its_output_and_exit_code(snippet):
    path = snippet("console.log('é'); console.error('oops'); process.exit(3)")
    assert node.run(path, code=3) == node.Finished("é\n", "oops\n", 3, None)
    path = snippet("process.kill(process.pid, 'SIGKILL')")
    assert node.run(path, code=None) == node.Finished("", "", None, 9)


RUN_FAULTS = {
    "hangs": (
        "setInterval(() => {}, 1000); console.log('so far')",
        "did not end within 1 s",
    ),
    "blocks": ("for (;;);", "did not end within 1 s"),
    "crashes": ("null.x", "ended with exit code 1, not 0"),
    "aborts": ("process.abort()", "ended with signal 6, not 0"),
    "binary": ("process.stdout.write(Buffer.from([72, 255, 254]))", "not UTF-8 (byte 1)"),
    "floods": ("for (;;) console.log('x'.repeat(9999))", "printed more than"),
    "deprecated": ("new Buffer(1)", "DEP0005"),
    "pending": ("import t from 'node:util'; process.binding('util')", "DEP0111"),
    "package": (
        "import 'left-pad-x'",
        "package 'left-pad-x' is not installed: add it to",
    ),
    "child": (
        (
            "import { spawn } from 'node:child_process';"
            "spawn('sleep', ['60'], { detached: true, stdio: 'ignore' }).unref()"
        ),
        "left running: sleep",
    ),
}


@pytest.mark.parametrize("name", RUN_FAULTS)
def test_a_faulty_program_ends_in_one_clear_message(snippet, name):
    text, message = RUN_FAULTS[name]
    path = snippet(text, ".cjs" if name in ("crashes", "deprecated") else ".mjs")
    with pytest.raises(GuideError) as error:
        node.run(path, timeout=1 if "1 s" in message else 10)
    assert str(error.value).startswith(f"{node.label(path)}: ")
    assert message in str(error.value)


def test_an_unknown_snippet_is_named_with_its_neighbours():
    with pytest.raises(
        GuideError, match=r"event-loop/ordre.mjs: no such snippet — .*order"
    ):
        node.run("event-loop/ordre.mjs")


LISTEN = (
    "import { createServer } from 'node:http';"
    "const server = createServer((req, res) => res.end('ok'));"
    "server.listen(%s, '127.0.0.1', () =>"
    " console.log(`listening on http://127.0.0.1:${server.address().port}`));"
)

CLOSE = "process.once('SIGTERM', () => server.close());"


def test_a_server_is_served_and_stopped(snippet):
    path = snippet(LISTEN % "process.env.PORT" + CLOSE)
    with node.serve(path) as server, server.client() as client:
        assert client.get("/").text == "ok"
        assert server.output().startswith("listening on")
    assert not psutil.pid_exists(server.pid)


STORE = """
export function createApp({ leaving, signal }) {
  let closed = false;
  signal.addEventListener('abort', () => (closed = true));
  leaving.addEventListener('abort', () => console.log('leaving', signal.aborted));
  return (req, res) => req.resume().on('end', () => {
    res.writeHead(closed ? 500 : 201).end();
  });
}
"""


def test_a_module_is_served_until_what_was_begun_is_answered_and_closes_then(snippet):
    with node.serve(snippet(STORE)) as server, server.client() as client:
        held = load.Held(f"{server.url}/orders", "POST", b"{}", "application/json")
        assert client.post("/orders", content=b"{}").status_code == 201
        for _ in range(2):  # from npm, and to the group
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: "leaving false" in server.output())
        held.release()
        assert held.answer()[0] == 201
        process.until(lambda: not server.alive())
        assert server.output().count("leaving") == 1


def test_a_server_on_a_fixed_port_is_refused(snippet):
    with pytest.raises(
        GuideError, match="fixed port 18080 — listen on `process.env.PORT`"
    ):
        with node.serve(snippet(LISTEN % 18080)):
            pytest.fail("it was served")


def test_a_server_on_a_busy_port_is_refused(snippet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        path = snippet(LISTEN % taken.getsockname()[1])
        with pytest.raises(GuideError, match="its port is in use, so it is fixed"):
            with node.serve(path):
                pytest.fail("it was served")


def test_a_server_that_never_listens_is_refused(snippet):
    with pytest.raises(GuideError, match="no line `listening on .*had printed: 'hello"):
        with node.serve(
            snippet("console.log('hello'); setInterval(() => {}, 9)"), ready=0.5
        ):
            pytest.fail("it was served")


def test_a_server_that_fails_at_start_shows_its_error(snippet):
    with pytest.raises(GuideError, match=r"before it listened:\n(?s:.*)no database"):
        with node.serve(snippet("throw new Error('no database')")):
            pytest.fail("it was served")


def test_a_server_that_ignores_sigterm_is_killed_and_reported(snippet):
    path = snippet(LISTEN % "process.env.PORT" + "process.on('SIGTERM', () => {});")
    with pytest.raises(GuideError, match=r"still ran 0.3 s after SIGTERM and was killed"):
        with node.serve(path, grace=0.3) as server:
            pid = server.pid
    assert not psutil.pid_exists(pid)


def test_what_a_server_started_gets_its_time_to_end_too(snippet, tmp_path):
    """A child that is killed while it writes leaves half a file of coverage."""
    written = tmp_path / "written"
    child = (
        "process.once('SIGTERM', () => setTimeout(() => {"
        f" require('node:fs').writeFileSync({str(written)!r}, 'whole'); process.exit();"
        " }, 300));"
        "setInterval(() => {}, 1000); process.send('ready');"
    )
    path = snippet(
        "import { spawn } from 'node:child_process'; import { once } from 'node:events';"
        f"const child = spawn(process.execPath, ['--eval', {child!r}],"
        " { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });"
        "await once(child, 'message');"
        "process.once('SIGTERM', () => process.exit(0));" + LISTEN % "process.env.PORT"
    )
    with node.serve(path):
        pass
    assert written.read_text() == "whole"


def test_a_server_that_dies_while_it_is_served_is_reported(snippet):
    path = snippet(LISTEN % "process.env.PORT" + "setTimeout(() => process.exit(7), 200)")
    with pytest.raises(GuideError, match="ended while it was being served, with 7"):
        with node.serve(path) as server:
            process.until(lambda: not server.alive())


def test_a_test_that_fails_still_stops_its_server(snippet):
    path = snippet(LISTEN % "process.env.PORT" + CLOSE)
    with pytest.raises(ZeroDivisionError), node.serve(path) as server:
        raise ZeroDivisionError
    assert not psutil.pid_exists(server.pid)


def test_missing_node_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(node, "SNIPPETS", tmp_path)
    (tmp_path / "a.mjs").write_text("")
    with pytest.raises(GuideError, match="packages are not installed — run `make setup`"):
        node.run(tmp_path / "a.mjs")


def test_the_binary_is_the_locked_version(snippet, monkeypatch):
    monkeypatch.delenv(node.OTHER, raising=False)
    done = node.run(snippet("console.log(process.version)"))
    assert done.stdout == f"v{locks.versions()['node']}\n"


# --- another Node ---------------------------------------------------------------

STAND_IN = """#!/bin/sh
[ "$1" = -p ] || {{ echo "stand-in ran $*"; exit; }}
echo '{{"execPath": "{path}", "version": "99.1.0"}}'
"""


@pytest.fixture
def another(tmp_path, monkeypatch) -> Path:
    """A stand-in for another Node; GUIDE_NODE names a wrapper around it."""
    path, wrapper = tmp_path / "node", tmp_path / "wrapper"
    path.write_text(STAND_IN.format(path=path))
    wrapper.write_text(f'#!/bin/sh\n{path} "$@"\n')
    for file in (path, wrapper):
        file.chmod(0o755)
    monkeypatch.setenv(node.OTHER, str(wrapper))
    return path


def test_another_node_runs_the_snippets_and_says_its_own_version(another, snippet):
    assert node.binary() == another  # not the wrapper, which would leave it behind
    assert locks.versions()["node"] == "99.1.0"
    assert node.run(snippet("")).stdout.startswith("stand-in ran --throw-deprecation")


@pytest.mark.parametrize("command", ["evidence", "outputs", "versions"])
def test_nothing_is_recorded_of_another_node(another, command):
    done = subprocess.run(
        [sys.executable, "-m", "lab", command],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{command}: is of the locked Node only, and GUIDE_NODE is Node 99.1.0 — unset "
        "GUIDE_NODE\n"
    )


@pytest.mark.parametrize("path", ["/nowhere/node", "/bin/echo", "/bin/false", str(ROOT)])
def test_what_is_not_node_is_refused(path, monkeypatch, snippet):
    monkeypatch.setenv(node.OTHER, path)
    with pytest.raises(GuideError) as error:
        node.run(snippet(""))
    assert str(error.value) == (
        f"GUIDE_NODE={path}: not a Node binary — give the path of one, or unset "
        "GUIDE_NODE for the locked Node"
    )
