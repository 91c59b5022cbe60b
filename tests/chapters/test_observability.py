"""What docs/chapters/observability.md says, run."""

import base64
import contextlib
import gzip
import http.server
import itertools
import json
import os
import random
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import check_jsonschema
import httpx
import jsonschema
import psutil
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from lab import ROOT, SNIPPETS
from lab.run import load, node, process, services

TOPIC = "observability"
SOURCE = "tests/chapters/test_observability.py"
HERE = SNIPPETS / TOPIC
AGENTS = HERE / "agents"
TEST_AGENT = ROOT / "tests/tools/ddapm/.venv/bin/ddapm-test-agent"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "b7ad6b7169203331"
ORDER = {"items": [{"sku": "tea", "quantity": 1}]}
PIPE = 65_536  # bytes that Linux keeps of a pipe that nobody reads


def javascript(source: str) -> str:
    return node.evaluate(source).stdout


def lines_of(source: str) -> list[str]:
    return javascript(source).splitlines()


def logged(server, count: int, message: str | None = None) -> list[dict]:
    """The first `count` lines that are JSON, once they are there: an answer may
    arrive before the line about it is written."""

    def lines():
        found = [json.loads(x) for x in server.output().splitlines() if x[:1] == "{"]
        found = [x for x in found if message in (None, x.get("msg"))]
        return found[:count] if len(found) >= count else None

    return process.until(lines)


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = ""):
        path = tmp_path / f"served-{secrets.token_hex(4)}.mjs"
        if not (packages := tmp_path / "node_modules").exists():
            packages.symlink_to(SNIPPETS / "node_modules")
        path.write_text(
            f"import {{ createApp as create }} from '{(HERE / snippet).as_uri()}';\n"
            f"{before}\n"
            "export async function createApp(deps) {\n"
            f"  return create({{ ...deps, {deps} }});\n}}\n"
        )
        return path

    return write


# --- two libraries, one line --------------------------------------------------------


def test_pino_and_winston_print_the_same_line():
    printed = javascript(
        """
    import { createPino, createWinston } from './observability/loggers.mjs';
    const options = { context: () => ({ trace: 'abc' }), redact: ['token'] };
    const order = { id: 'ord_1', status: 'paid', total: 799, version: 2, note: 'home' };
    const error = Object.assign(new TypeError('no such card 4242'), { code: 'E_CARD' });
    for (const create of [createPino, createWinston]) {
      const logger = create(options);
      logger.info({ order, token: 'secret' }, 'order placed');
      logger.error({ error }, 'request failed');
    }
    """
    )
    lines = [json.loads(line) for line in printed.splitlines()]
    renamed = [
        {{"msg": "message", "timestamp": "time"}.get(key, key): line[key] for key in line}
        for line in lines
    ]
    for line in renamed:
        assert line.pop("time").endswith("Z")
        if "error" in line:
            frames = line["error"].pop("stack")
            assert frames.startswith("TypeError: …\n    at ")
    placed, failed = renamed[:2]
    assert renamed[2:] == [placed, failed]
    assert placed == {
        "level": "info",
        "service": "orders",
        "trace": "abc",
        "order": {"id": "ord_1", "status": "paid", "total": 799, "version": 2},
        "token": "[redacted]",
        "message": "order placed",
    }
    assert failed["error"] == {"type": "TypeError", "code": "E_CARD"}
    assert "4242" not in printed


def test_of_an_error_only_its_frames_are_told_whatever_became_of_its_message():
    printed = javascript(
        """
    import { createPino, createWinston } from './observability/loggers.mjs';
    const rewritten = new Error('card 4242');
    rewritten.message = 'refused: ' + 'x'.repeat(5000); // longer than its stack
    const errors = [new Error(''), rewritten, null, 'card 4242', { stack: 4242 }];
    for (const create of [createPino, createWinston]) {
      const logger = create();
      for (const error of errors) logger.error({ error, order: null }, 'failed');
    }
    """
    )
    assert "4242" not in printed
    told = [json.loads(line) for line in printed.splitlines()]
    assert [one["error"] for one in told[:5]] == [one["error"] for one in told[5:]]
    assert [one["order"] for one in told] == [{}] * 10
    for one in told[:2]:
        assert re.match(r"Error: …\n    at .*:\d+:\d+", one["error"]["stack"])
    assert [one["error"]["type"] for one in told[2:5]] == ["object", "string", "object"]


ERRORS = """
import { createPino, createWinston } from './observability/loggers.mjs';
const cause = Object.assign(new Error('no 4242 at 10.0.0.5'), { code: 'ECONNREFUSED' });
const away = new Error('prices 4242 are away', { cause });
const circle = new Error('4242');
circle.cause = circle;
"""


def test_where_an_error_came_from_is_told_of_its_causes_and_of_many_errors():
    printed = javascript(
        ERRORS
        + """
    const many = new AggregateError([...Array(9).fill(away)], 'all 4242 failed');
    for (const logger of [createPino(), createWinston()]) {
      logger.error({ error: away }, 'failed');
      logger.error({ error: many }, 'failed');
      logger.error({ error: circle }, 'failed');
    }
    """
    )
    assert "4242" not in printed and "10.0.0.5" not in printed
    told = [json.loads(line)["error"] for line in printed.splitlines()]
    assert told[:3] == told[3:]
    one, many, circle = told[:3]
    assert (one["cause"]["type"], one["cause"]["code"]) == ("Error", "ECONNREFUSED")
    assert re.match(r"Error: …\n    at ", one["cause"]["stack"])
    assert many["type"] == "AggregateError" and len(many["errors"]) == 5
    assert many["errors"][4]["cause"]["code"] == "ECONNREFUSED"
    assert "cause" not in circle["cause"]["cause"]["cause"]


@pytest.mark.parametrize(
    "call",
    [
        "error({ err: away }, 'failed')",
        "error({ err: away })",  # Pino would take its message for the line's
        "error({ error: away })",
        "error({ reason: away }, 'failed')",
        "error(away)",
        "error(away, 'failed')",
        "error({ error: Object.assign(away, { code: 'card 4242', status: [4242] }) })",
        "error({ error: Object.assign(away, { name: 'card \\n4242' }) })",
        "error({ error: new Error('no\\n    at card (4242:1:1)') })",
        "error({ error: new Error('so', { cause: 'card 4242' }) })",
    ],
)
def test_no_way_to_log_an_error_goes_past_its_serialiser(call):
    printed = javascript(
        ERRORS + f"for (const l of [createPino(), createWinston()]) l.{call};"
    )
    assert "4242" not in printed
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 2
    for line in lines:
        [error] = (line[key] for key in ("err", "error", "reason") if key in line)
        assert error["type"] in ("Error", "object") and "    at file" in error["stack"]


def test_what_a_child_logger_is_given_for_all_its_lines_is_serialised_as_well():
    printed = javascript(
        ERRORS
        + """
    const order = { id: 'ord_1', note: 'card 4242' };
    createPino().child({ err: away, order }).info('retried');
    """
    )
    assert "4242" not in printed
    assert json.loads(printed)["err"]["cause"]["code"] == "ECONNREFUSED"


# --- standard output that takes nothing -----------------------------------------------

BOTH = """
import { createPino, createWinston } from './observability/loggers.mjs';
import { stdout } from './observability/stdout.mjs';
import { createMetrics } from './observability/metrics.mjs';
import { setImmediate as turn } from 'node:timers/promises';
import { writeSync } from 'node:fs';
const log = (n) => [createPino(), createWinston()].map((l) => l.info({ n }, 'line'));
const { register } = createMetrics();
async function metric() {
  await register.metrics(); // a second scrape says the same
  return (await register.metrics()).match(/^log_lines_lost_total .*$/m)[0];
}
"""


def told(source: str, stdout) -> str:
    """What a program writes to standard error, whose standard output is `stdout`; it
    must end by itself."""
    done = subprocess.run(
        [node.binary(), *node.STRICT, "--input-type=module", "--eval", source],
        cwd=SNIPPETS, stdout=stdout, stderr=subprocess.PIPE, text=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_service_outlives_a_full_disk_and_counts_the_lines_that_it_lost():
    with Path("/dev/full").open("wb") as full:
        seen = told(
            BOTH
            + """
        for (let n = 0; n < 5; n += 1) { log(n); await turn(); }
        writeSync(2, await metric());
        """,
            full,
        )
    assert seen == "log_lines_lost_total 10"


def test_a_service_outlives_the_reader_of_its_log():
    read, write = os.pipe()
    os.close(read)
    try:
        seen = told(
            BOTH
            + """
        for (let n = 0; n < 5; n += 1) { log(n); await turn(); }
        writeSync(2, await metric());
        """,
            write,
        )
    finally:
        os.close(write)
    assert seen == "log_lines_lost_total 10"


def test_a_line_is_with_the_kernel_when_the_call_returns():
    done = node.evaluate(
        BOTH + "for (let n = 0; n < 500; n += 1) log(n);\n"
        "process.kill(process.pid, 'SIGKILL');",
        code=None,
    )
    assert done.signal == signal.SIGKILL
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    # Winston's stream decides by itself when it hands a line on: in the same turn
    assert [line["n"] for line in lines if "msg" in line] == list(range(500))
    assert [line["n"] for line in lines if "message" in line] == list(range(500))


FIFO = """
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { createOutput } from './observability/stdout.mjs';
const fd = openSync('%s', constants.O_RDWR | constants.O_NONBLOCK);
const buffer = Buffer.alloc(1 << 20);
function drain() {
  try { return buffer.toString('latin1', 0, readSync(fd, buffer)); } catch { return ''; }
}
let waits = 0;
const slow = (reader) => { Atomics.wait = () => { waits += 1; reader(); }; };
const line = (size) => JSON.stringify({ x: 'x'.repeat(size) }) + '\\n';
const say = (...what) => console.log(JSON.stringify(what));
"""


def test_only_a_reader_that_may_come_back_is_waited_for():
    seen = lines_of(
        """
    import { openSync } from 'node:fs';
    import { createOutput } from './observability/stdout.mjs';
    let waits = 0;
    Atomics.wait = () => { waits += 1; };
    const output = createOutput({ fd: openSync('/dev/full', 'w') });
    output.write('line\\n');
    console.log(output.lost, waits);
    """
    )
    assert seen == ["1 0"]


@pytest.fixture
def fifo(tmp_path):
    """JavaScript with `fd`, a pipe that does not block and that the program reads
    itself, and `slow`, which says what happens while a writer waits."""
    os.mkfifo(path := tmp_path / "pipe")
    return FIFO % path


def test_a_reader_that_is_slow_is_waited_for_and_gets_the_whole_line(fifo):
    seen = lines_of(
        fifo
        + """
    const output = createOutput({ fd });
    let read = '';
    slow(() => { read += drain(); });
    output.write(line(200_000)); // three times what the pipe takes
    read += drain();
    say(output.lost, waits > 0, read === line(200_000));
    """
    )
    assert json.loads(seen[0]) == [0, True, True]


def test_a_reader_that_stopped_is_waited_for_once_and_spoils_no_later_line(fifo):
    seen = lines_of(
        fifo
        + """
    const output = createOutput({ fd, patienceMs: 50 });
    slow(() => {});
    output.write(line(200_000)); // half of it is out
    const first = waits;
    for (let n = 0; n < 10; n += 1) output.write(line(n));
    say(first > 0, waits - first, output.lost);
    const torn = drain();
    output.write(line(1));
    output.write(line(2));
    say(torn.length, drain(), output.lost);
    for (let before = waits; waits === before;) output.write(line(200_000));
    say(output.lost); // it was patient again
    """
    )
    assert [json.loads(one) for one in seen] == [
        [True, 0, 11],
        [PIPE, '\n{"x":"x"}\n{"x":"xx"}\n', 11],
        [12],
    ]


def test_flushing_winston_leaves_standard_output_to_the_other_loggers():
    seen = lines_of(
        """
    import { flushWinston } from './observability/flush.mjs';
    import { createPino, createWinston } from './observability/loggers.mjs';
    const { info, logger } = createWinston();
    for (let n = 0; n < 100; n += 1) info({ n }, 'line');
    await flushWinston(logger);
    createPino().info('after');
    """
    )
    assert len(seen) == 101 and json.loads(seen.pop())["msg"] == "after"


def test_winston_holds_a_bounded_number_of_lines_for_a_transport_that_is_stuck():
    seen = lines_of(
        """
    import { Writable } from 'node:stream';
    import Transport from 'winston-transport';
    import { createWinston } from './observability/loggers.mjs';
    import { stdout } from './observability/stdout.mjs';
    class Stuck extends Transport { log() {} }
    const transports = [new Stuck()];
    const { error, logger } = createWinston({ transports, waiting: 100 });
    for (let n = 0; n < 1000; n += 1) error({ n }, 'line');
    const held = logger.writableLength + transports[0].writableLength;
    console.log(held < 200, stdout.lost > 800, stdout.lost <= 1000 - 100);
    """
    )
    assert seen == ["true true true"]


def test_a_transport_that_fails_ends_no_service():
    seen = lines_of(
        """
    import winston from 'winston';
    import { createWinston } from './observability/loggers.mjs';
    import { stdout } from './observability/stdout.mjs';
    const stdio = new winston.transports.Stream({ stream: process.stderr });
    const { info, logger } = createWinston({ transports: [stdio] });
    stdio.emit('error', new Error('no space left on device'));
    info({}, 'line');
    console.log(stdout.lost);
    """
    )
    assert seen == ["1"]


@pytest.mark.parametrize(("sync", "ends"), [("true", True), ("false", False)])
def test_pinos_own_destination_keeps_what_a_full_disk_refuses_and_may_not_exit(
    sync, ends, tmp_path
):
    """Somebody listens for its errors; otherwise the first line ends the process."""
    program = tmp_path / "full.mjs"
    pino = (SNIPPETS / "node_modules/pino/pino.js").as_uri()
    program.write_text(
        f"""
    import {{ pino }} from '{pino}';
    import {{ once }} from 'node:events';
    import {{ setImmediate as turn }} from 'node:timers/promises';
    const stream = pino.destination({{ dest: '/dev/full', sync: {sync} }});
    await once(stream, 'ready');
    stream.on('error', () => {{}});
    const logger = pino(stream);
    for (let n = 0; n < 100; n += 1) {{ logger.info('x'.repeat(500)); await turn(); }}
    console.log('exits', stream._len);
    process.exit(0);
    """
    )
    out = tmp_path / "out"
    with out.open("wb") as stdout:
        child, token = process.start(
            [node.binary(), program], cwd=SNIPPETS, stdout=stdout
        )
    try:
        process.until(lambda: process.wait(child, 0.1) or "exits" in out.read_text())
        # what it does at exit is to try again, and to sleep, without an end
        assert process.wait(child, 3) is ends
    finally:
        process.end(child, token, grace=0)
    if ends:
        assert int(out.read_text().split()[1]) > 50_000


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("loggers", "createWinston({ level: 'warning' })"),  # of syslog, not of npm
        ("loggers", "createWinston({ level: 'toString' })"),
        ("loggers", "createWinston({ redact: 'password' })"),
        ("loggers", "createPino({ level: 'warning' })"),
        ("loggers", "createPino({ redact: 'password' })"),
        ("stdout", "createOutput({ fd: '1' })"),
        ("stdout", "createOutput({ patienceMs: '1000' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), drainMs: '8000' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), patience: '5 s' })"),
        ("flush", "endOn('SIGTERM', { server: new Server(), patience: 2 ** 31 })"),
        ("metrics", "createMetrics({ capacity: '100' })"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused_when_the_thing_is_made(module, call):
    done = node.evaluate(
        "import { Server } from 'node:http';\n"
        f"import * as made from './observability/{module}.mjs';\nmade.{call};",
        code=1,
    )
    assert "Error: " in done.stderr


def test_the_shop_does_not_start_with_a_drain_that_is_no_number():
    done = node.run(f"{TOPIC}/two-ports.mjs", env={"DRAIN_MS": "5s"}, code=1)
    assert "DRAIN_MS" in done.stderr


# --- a request and its lines --------------------------------------------------------


# the context of a service that only our own services call
INSIDE = """
import * as traces from '{}';
const context = {{ ...traces, traced: traces.tracing({{ inside: true }}) }};
""".format((HERE / "context.mjs").as_uri())


def test_every_line_of_a_request_has_its_trace_also_where_no_request_is_passed(module):
    path = module("app.mjs", "context", INSIDE)
    with node.serve(path) as server, server.client() as client:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        order = {**ORDER, "note": "ring twice"}
        answer = client.post("/orders", json=order, headers=headers)
        assert answer.status_code == 201
        assert client.get(answer.headers["Location"]).json() == answer.json()
        assert client.get("/nothing").status_code == 404
        kept, placed, read, nothing = logged(server, 4)
    assert kept["msg"] == "order kept" and kept["order"]["id"] == answer.json()["id"]
    assert kept["trace"] == placed["trace"] == TRACE
    assert kept["span"] == placed["span"] != CALLER
    said = {key: placed[key] for key in ("method", "route", "status")}
    assert said == {"method": "POST", "route": "/orders", "status": 201}
    assert (read["route"], read["status"]) == ("/orders/:id", 200)
    assert (nothing["route"], nothing["status"]) == ("none", 404)
    assert len({TRACE, read["trace"], nothing["trace"]}) == 3
    assert "ring twice" not in json.dumps([kept, placed, read])


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (f"00-{TRACE}-{CALLER}-01", TRACE),
        (f"cc-{TRACE}-{CALLER}-00", TRACE),  # a later version is read as this one
        (f"ff-{TRACE}-{CALLER}-01", None),
        (f"00-{'0' * 32}-{CALLER}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{CALLER}-01", None),
        (f"00-{TRACE}-{CALLER}-01 \\n", None),
        ("", None),
    ],
)
def test_a_traceparent_is_taken_only_if_it_is_one(header, trace):
    seen = javascript(
        f"import {{ parse }} from './observability/context.mjs';\n"
        f"console.log(JSON.stringify(parse({json.dumps(header)})));"
    )
    assert (json.loads(seen) or {}).get("trace") == trace


def test_a_stranger_chooses_neither_the_trace_nor_what_is_sampled():
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with node.serve(f"{TOPIC}/app.mjs") as server, server.client() as client:
        for _ in range(2):
            client.get("/orders/ord_1", headers=headers)
        first, second = logged(server, 2)
    assert len({TRACE, first["trace"], second["trace"]}) == 3
    assert first["link"] == second["link"] == TRACE  # who asks of theirs finds ours
    [seen] = lines_of(
        f"""
    import {{ outgoing, traced }} from './observability/context.mjs';
    const req = {{ headers: {{ traceparent: '00-{TRACE}-{CALLER}-01' }} }};
    traced(req, {{}}, () => console.log(outgoing().traceparent));
    """
    )
    assert TRACE not in seen and seen.endswith("-00")


@pytest.mark.parametrize(("flags", "sampled"), [("01", "01"), ("fe", "00"), ("ff", "01")])
def test_the_trace_goes_on_to_the_next_service(flags, sampled):
    seen = javascript(
        f"""
    import {{ inLogs, outgoing, tracing }} from './observability/context.mjs';
    const req = {{ headers: {{ traceparent: '00-{TRACE}-{CALLER}-{flags}' }} }};
    tracing({{ inside: true }})(req, {{}}, () => setTimeout(() => {{
      console.log(outgoing().traceparent, inLogs().span);
    }}, 1));
    console.log(Object.keys(outgoing()).length, Object.keys(inLogs()).length);
    """
    )
    outside, inside = seen.splitlines()
    header, span = inside.split()
    assert outside == "0 0"
    assert header == f"00-{TRACE}-{span}-{sampled}" and span != CALLER


# an insert goes on when a second one has come, so that two requests are under way
MEET = """
import { createPino } from '%s';
import * as traces from '%s';
const traced = traces.tracing?.({ inside: true }) ?? traces.traced;
const context = { ...traces, traced };
const logger = createPino({ context: context.inLogs });
const both = Promise.withResolvers();
let waiting = 0;
const orders = {
  async insert(order) {
    waiting += 1;
    if (waiting === 2) both.resolve();
    await both.promise;
    logger.info({ note: order.note }, 'order kept');
    return { ...order, id: 'ord_1' };
  },
};
"""


@pytest.mark.parametrize(("version", "right"), [("context.naive", 1), ("context", 2)])
def test_two_requests_at_once_share_an_id_that_is_kept_in_a_variable(
    version, right, module
):
    before = MEET % ((HERE / "loggers.mjs").as_uri(), (HERE / f"{version}.mjs").as_uri())
    path = module("app.mjs", "logger, context, orders", before)
    ids = {"ann": TRACE, "bob": TRACE[::-1]}
    with node.serve(path) as server, server.client() as client:

        def place(name):
            headers = {
                "X-Request-Id": ids[name],
                "traceparent": f"00-{ids[name]}-{CALLER}-01",
            }
            return client.post("/orders", json={**ORDER, "note": name}, headers=headers)

        with ThreadPoolExecutor(2) as pool:
            assert [a.status_code for a in pool.map(place, ids)] == [201, 201]
        lines = logged(server, 2, "order kept")
    assert sum(line["trace"] == ids[line["note"]] for line in lines) == right


# --- what is left of a thousand lines -------------------------------------------------


def kept(logger: str, death: str, tmp_path, lines: int = 1000) -> int:
    """Whole lines in the file of a logger whose process dies after `lines`."""
    file = tmp_path / secrets.token_hex(4)
    own = [str(file)] if logger.startswith(("pino", "winston file")) else []
    done = node.run(f"{TOPIC}/deaths.mjs", logger, death, str(lines), *own, code=None)
    text = file.read_text() if own else done.stdout  # which is a file, too
    whole = [json.loads(line) for line in text.splitlines()]
    assert [line["n"] for line in whole] == list(range(len(whole)))
    return len(whole)


@pytest.mark.claim("observability/same-thing")
@pytest.mark.parametrize("death", ["process.exit", "SIGKILL"])
def test_at_exit_winston_keeps_a_line_in_its_file_and_pino_all(death, tmp_path):
    assert kept("pino sync", death, tmp_path) == 1000
    assert kept("winston file", death, tmp_path) <= 1
    assert kept("winston console", death, tmp_path) == 1000  # its output is a file


@pytest.mark.claim("observability/pino-is-synchronous")
def test_pino_as_it_comes_holds_lines_back_and_sync_has_to_be_asked_for(tmp_path):
    assert kept("pino as it comes", "process.exit", tmp_path) == 1000
    assert kept("pino as it comes", "SIGKILL", tmp_path) <= 1
    assert kept("pino sync", "SIGKILL", tmp_path) == 1000


@pytest.mark.claim("observability/pino-is-synchronous")
def test_pino_as_it_comes_keeps_lines_that_have_time_to_be_written(tmp_path):
    file = tmp_path / "log"
    done = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ loggers }} from './observability/sinks.mjs';
    const {{ info, ready, stream }} = loggers['pino as it comes']('{file}');
    await ready;
    for (let n = 0; n < 1000; n += 1) {{
      const written = once(stream, 'drain');
      info({{ n }}, 'order placed');
      await written;
    }}
    process.kill(process.pid, 'SIGKILL');
    """,
        code=None,
    )
    assert done.signal == 9
    assert file.read_text().count("\n") == 1000


@pytest.mark.claim("observability/async-loses-nothing")
def test_what_is_still_in_memory_dies_with_a_signal_and_not_with_an_exit(tmp_path):
    for logger in ("pino async", "pino transport"):
        assert kept(logger, "process.exit", tmp_path) == 1000
        assert kept(logger, "throw", tmp_path) == 1000
        assert kept(logger, "SIGTERM", tmp_path) < 100  # nobody handles it
        assert kept(logger, "SIGKILL", tmp_path) < 100


@contextlib.contextmanager
def piped(*argv):
    """Starts Node with a pipe for standard output that nobody reads yet."""
    read, write = os.pipe()
    child, token = process.start(
        [node.binary(), *argv], cwd=SNIPPETS, stdout=write, stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        yield child, read
    finally:
        process.end(child, token, grace=0)
        os.close(read)


def drained(read: int) -> bytes:
    data = b""
    while chunk := os.read(read, PIPE):
        data += chunk
    return data


@pytest.mark.claim("observability/console-log-is-synchronous")
@pytest.mark.parametrize("logger", ["console.log", "winston console"])
def test_to_a_pipe_console_log_keeps_what_the_pipe_takes_and_to_a_file_all(
    logger, tmp_path
):
    assert kept(logger, "process.exit", tmp_path, 5000) == 5000
    with piped(HERE / "deaths.mjs", logger, "process.exit", "5000") as (child, read):
        assert process.wait(child, 20)  # it does not wait for a reader
        assert PIPE - 4096 < len(drained(read)) <= PIPE


def test_to_a_pipe_pino_waits_for_the_reader_and_keeps_all():
    with piped(HERE / "deaths.mjs", "pino sync", "SIGKILL", "5000") as (child, read):
        first = os.read(read, 1)  # it is at it; the pipe is full a moment later
        data = first + drained(read)
        assert process.wait(child, 20)
    assert data.count(b"\n") == 5000


STUCK = """
import { createServer } from 'node:http';
import { loggers } from '%s';
const { info, ready } = loggers['%s'](1);
await ready;
const server = createServer((req, res) => {
  info({ note: 'x'.repeat(1000) }, 'request');
  res.end('ok');
});
server.listen(0, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}/`));
"""


@pytest.mark.claim("observability/console-log-is-synchronous")
@pytest.mark.parametrize(
    ("logger", "answered"), [("pino sync", False), ("console.log", True)]
)
def test_a_log_collector_that_stops_reading_stops_whoever_writes_synchronously(
    logger, answered, tmp_path
):
    file = tmp_path / "server.mjs"
    file.write_text(STUCK % ((HERE / "sinks.mjs").as_uri(), logger))
    with piped(file) as (_, read):
        url = os.read(read, 200).decode().split()[-1]
        # long for an answer on a busy machine, short for one that never comes
        with httpx.Client(base_url=url, timeout=10) as client:
            count = 0
            with contextlib.suppress(httpx.ReadTimeout):
                for _ in range(150):  # kilobytes: more than twice the pipe
                    client.get("/")
                    count += 1
    assert (count == 150) if answered else (30 < count < 70), count


FLUSH = """
import { once } from 'node:events';
import { createServer } from 'node:http';
import { endOn, flushWinston } from './observability/%s';
import { loggers } from './observability/sinks.mjs';
const { info, logger, ready } = loggers['%s']('%s');
await ready;
const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
endOn('SIGTERM', { logger, server, flush: %s });
for (let n = 0; n < 1000; n += 1) info({ n }, 'order placed');
process.kill(process.pid, 'SIGTERM');
"""


@pytest.mark.parametrize("version", ["flush.naive", "flush"])
def test_the_last_lines_are_flushed_at_sigterm_or_lost(version, tmp_path):
    file = tmp_path / "log"
    flush = "flushWinston"
    source = FLUSH % (f"{version}.mjs", "winston file", file, flush)
    if version == "flush.naive":
        source = source.replace(", flushWinston", "").replace(", flush: flushWinston", "")
    javascript(source)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    if version == "flush.naive":
        assert len(lines) < 1000
    else:
        assert len(lines) == 1001 and lines[-1]["message"] == "stopped"


def test_pino_is_flushed_by_an_exit_that_is_asked_for(tmp_path):
    file = tmp_path / "log"
    javascript(FLUSH % ("flush.mjs", "pino async", file, "undefined"))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 1001 and lines[-1]["msg"] == "stopped"


@pytest.mark.claim("observability/flush-calls-back-when-written")
def test_pinos_flush_calls_back_before_the_lines_are_written(tmp_path):
    file = tmp_path / "log"
    done = node.evaluate(
        f"""
    import {{ promisify }} from 'node:util';
    import {{ loggers }} from './observability/sinks.mjs';
    const {{ info, logger, ready }} = loggers['pino as it comes']('{file}');
    await ready;
    for (let n = 0; n < 1000; n += 1) info({{ n }}, 'order placed');
    await promisify(logger.flush).call(logger);
    process.kill(process.pid, 'SIGKILL');
    """,
        code=None,
    )
    assert done.signal == 9
    assert file.read_text().count("\n") <= 1


def test_a_heap_snapshot_contains_the_secrets_that_the_process_had(tmp_path):
    file = tmp_path / "heap"
    javascript(
        f"""
    import {{ writeHeapSnapshot }} from 'node:v8';
    globalThis.session = {{ token: ['canary', process.pid].join('-') }};
    session.token = Buffer.from(session.token).toString();
    writeHeapSnapshot('{file}');
    """
    )
    assert '"canary-' in file.read_text()


def test_a_callback_in_a_queue_of_ones_own_has_another_requests_context():
    seen = lines_of(
        """
    import { AsyncResource } from 'node:async_hooks';
    import { inLogs, traced } from './observability/context.mjs';
    const queue = [];
    const say = () => console.log('trace' in inLogs());
    traced({ headers: {} }, {}, () => queue.push(say, AsyncResource.bind(say)));
    for (const callback of queue) callback();
    """
    )
    assert seen == ["false", "true"]


def test_a_service_that_cannot_flush_ends_after_its_patience():
    done = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { endOn } from './observability/flush.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const flush = () => new Promise((resolve) => setTimeout(resolve, 60_000));
    endOn('SIGTERM', { logger: console, server, flush, patience: 50 });
    process.kill(process.pid, 'SIGTERM');
    """,
        code=1,
    )
    assert done.stdout == "stopped\n"


def test_a_service_whose_flush_fails_says_so_and_ends_with_1():
    done = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { endOn } from './observability/flush.mjs';
    import { createPino } from './observability/loggers.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const flush = async () => { throw new Error('collector 4242 is away'); };
    endOn('SIGTERM', { logger: createPino(), server, flush });
    process.kill(process.pid, 'SIGTERM');
    """,
        code=1,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["msg"] for line in told] == ["stopped", "not all was flushed"]
    assert done.stderr == "" and "4242" not in done.stdout


ENDLESS = """
import { once } from 'node:events';
import { createServer, get } from 'node:http';
import { createPino } from './observability/loggers.mjs';
import { endOn } from './observability/flush.mjs';
const logger = createPino();
const server = createServer((req, res) => {
  res.once('close', () => logger.info({ url: req.url }, 'request'));
  res.write('data: 1\\n\\n');
  if (req.url === '/soon') setTimeout(() => res.end(), 100);
});
const flush = () => console.log('flushed');
endOn('SIGTERM', { logger, server, flush, drainMs: 500 });
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
for (const path of ['/soon', '/stream']) {
  const request = get({ host: '127.0.0.1', port, path });
  request.on('error', () => {}); // it is on this side as well
  const [answer] = await once(request, 'response');
  answer.on('error', () => {}).resume();
}
process.kill(process.pid, 'SIGTERM');
process.kill(process.pid, 'SIGTERM');
"""


def test_a_stream_that_never_ends_is_cut_and_its_line_is_flushed_all_the_same():
    printed = lines_of(ENDLESS)
    assert printed.pop() == "flushed"
    lines = [json.loads(line) for line in printed]
    told = [line.get("url", line["msg"]) for line in lines]
    assert told == ["/soon", "/stream", "stopped"]


def test_the_throughput_program_brings_every_line_to_the_disk():
    printed = node.run(f"{TOPIC}/throughput.mjs", "1000", "1", timeout=60).stdout
    runs = [json.loads(line) for line in printed.splitlines()]
    assert len(runs) == 7
    for run in runs:
        assert run["bytes"] > 100_000 and 0 < run["called"] < run["durable"]


# --- lines that a client wrote --------------------------------------------------------

FORGED = '{"level":"error","msg":"admin deleted all orders"}'


@pytest.mark.parametrize(
    ("version", "forged"), [("signin.naive.mjs", 2), ("signin.mjs", 0)]
)
def test_a_line_break_in_a_field_or_a_query_forges_a_line_or_stays_in_its_field(
    version, forged
):
    with node.serve(f"{TOPIC}/{version}") as server, server.client() as client:
        user = f"ann\n{FORGED}"
        assert client.post("/signin", json={"user": user}).status_code == 401
        assert client.get("/search", params={"q": user}).status_code == 200
        process.until(lambda: server.output().count("searched") == 1)
        lines = server.output().splitlines()
    assert lines.count(FORGED) == forged
    if not forged:
        signin, search = (json.loads(line) for line in lines[-2:])
        assert signin["user"] == search["q"] == user


def test_what_cannot_be_read_forges_no_line_either_and_is_the_clients_mistake():
    with node.serve(f"{TOPIC}/signin.mjs") as server, server.client() as client:
        odd = {"user": {"toString": 1}}
        assert client.post("/signin", json=odd).status_code == 401
        assert client.get("/search?q=a&q=b").status_code == 200
        broken = client.post(
            "/signin",
            content=b'{\n{"a":1}\n',
            headers={"Content-Type": "application/json"},
        )
        assert broken.status_code == 400
        assert client.get("/search", params={"q": "end"}).status_code == 200
        process.until(lambda: '"q":"end"' in server.output())
        told = [line for line in server.output().splitlines() if "listening" not in line]
    # of three, and not of what Express or the parser say: that quotes the client
    assert [json.loads(line)["msg"] for line in told] == [
        "sign-in failed",
        *["searched"] * 2,
    ]


def test_node_itself_refuses_a_line_break_in_a_header():
    with node.serve(f"{TOPIC}/signin.naive.mjs") as server:
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(b"GET /search?q=a HTTP/1.1\r\nHost: x\r\nX-Id: a\n{\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
        assert "searched" not in server.output()


@pytest.mark.claim("observability/a-library-escapes")
def test_whether_winston_escapes_a_line_break_is_its_formats_choice():
    printed = javascript(
        f"""
    import winston from 'winston';
    const {{ cli, combine, json, printf, simple, timestamp }} = winston.format;
    const said = printf(({{ level, message }}) => `${{level}}: ${{message}}`);
    for (const format of [simple(), said, combine(timestamp(), json())]) {{
      const transports = [new winston.transports.Console()];
      winston.createLogger({{ format, transports }}).info({json.dumps("a" + chr(10) + FORGED)});
    }}
    """
    ).splitlines()
    assert len(printed) == 5
    assert printed.count(FORGED) == 2
    assert json.loads(printed[-1])["message"] == f"a\n{FORGED}"


# --- a secret in every field ----------------------------------------------------------

REDACT = [
    *("req.headers.authorization", "req.headers.cookie", "req.query.token"),
    *("body.password", "*.password", "password"),
]
# a store whose errors quote their input, as those of many drivers do
QUOTING = """
const orders = {
  get: async () => null,
  insert: async (order) => {
    if (order?.note) throw new Error(`cannot insert ${JSON.stringify(order)}`);
    return { id: 'ord_1', status: 'open', version: 1 };
  },
};
"""
# `%s` is the secret
FIELDS = {
    "path": {"url": "/orders/%s"},
    "query": {"url": "/orders/x?token=%s"},
    "Authorization": {"headers": {"Authorization": "Bearer %s"}},
    "Cookie": {"headers": {"Cookie": "session=%s"}},
    "another header": {"headers": {"X-Api-Key": "%s"}},
    "User-Agent": {"headers": {"User-Agent": "%s"}},
    "trace headers": {"headers": {"traceparent": "%s", "X-Request-Id": "%s"}},
    "password": {"content": '{"password": "%s"}'},
    "nested field": {"content": '{"items": [{"card": {"number": "%s"}}]}'},
    "field's name": {"content": '{"%s": 1}'},
    "broken JSON": {"content": '{"password": %s'},
    "error's message": {"content": '{"note": "%s"}'},
}


def canary(field: str) -> str:
    return f"canary-4242-{list(FIELDS).index(field):04}"


def leaks(path) -> dict[str, set[str]]:
    """Where a secret is seen again that a client sent, by the field it sent it in."""
    found = {}
    with node.serve(path) as server, server.client() as client:
        for field, sent in FIELDS.items():
            request = json.loads(json.dumps(sent).replace("%s", canary(field)))
            if "content" in sent:
                request |= {"content": sent["content"].replace("%s", canary(field))}
                request |= {"url": "/orders", "method": "POST"}
                request["headers"] = {"Content-Type": "application/json"}
            answer = client.request(**{"url": "/orders/x", "method": "GET", **request})
            assert answer.status_code in (200, 201, 400, 404, 500), answer.text
            found[field] = {"answer"} if canary(field) in answer.text else set()
        metrics = client.get("/metrics").text
        assert "http_request_duration_seconds_count" in metrics
        process.until(lambda: server.output().count('"msg":"request') >= len(FIELDS))
        for field, seen in found.items():
            if canary(field) in server.output():
                seen.add("log")
            if canary(field) in metrics:
                seen.add("metric")
    return found


# the hardened app, with metrics beside it as a second listener would have them, and
# without validation, which would keep most fields from what is tried here
MEASURED = (
    """
import express from '{}/express/index.js';
import {{ createMetrics }} from '{}';
const {{ measure, register }} = createMetrics();
const parseOrder = (value) => ({{ value }});
""".format(SNIPPETS / "node_modules", (HERE / "metrics.mjs").as_uri())
    + QUOTING
)


@pytest.fixture
def hardened(module):
    path = module("app.mjs", "measure, orders, parseOrder", MEASURED)
    text = path.read_text().replace("return create(", "const app = create(")
    end = text.rindex("}")
    path.write_text(
        text[:end] + "const both = express();\n"
        "both.get('/metrics', async (req, res) => res.send(await register.metrics()));\n"
        "return both.use(app);\n}\n"
    )
    return path


def test_a_secret_in_any_field_is_seen_again_in_the_naive_service(module):
    found = leaks(module("app.naive.mjs", "orders", QUOTING))
    assert all("log" in seen for seen in found.values())
    assert {f for f, seen in found.items() if "answer" in seen} >= {"error's message"}
    assert {f for f, seen in found.items() if "metric" in seen} == {"path"}


def test_a_secret_in_any_field_is_seen_nowhere_in_the_hardened_one(hardened):
    assert not any(leaks(hardened).values())


@pytest.mark.claim("observability/redaction-hides-secrets")
def test_redaction_hides_what_it_was_told_of_and_nothing_else(module):
    path = module("app.naive.mjs", f"orders, redact: {json.dumps(REDACT)}", QUOTING)
    hidden = {field for field, seen in leaks(path).items() if "log" not in seen}
    assert hidden == {"Authorization", "Cookie", "password"}


# --- traces and the vendors' agents -----------------------------------------------------


def heavy(test):
    """Marks a test that wants what `make heavy` installs."""
    absent = not ((AGENTS / "node_modules").is_dir() and TEST_AGENT.exists())
    why = "the agents of observability: not installed — run make heavy"
    return pytest.mark.heavy(pytest.mark.skipif(absent, reason=why)(test))


class Collector(http.server.ThreadingHTTPServer):
    """Receives OTLP over HTTP: `spans`, and the `requests` they came with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.spans: list[dict] = []
        self.requests: list[tuple[str, dict]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Receive(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self):
        self.server.requests.append((self.path, dict(self.headers)))
        body = self._body()
        if self.path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            for of_resource in request.resource_spans:
                for scope in of_resource.scope_spans:
                    self.server.spans += [
                        _told(span, scope, of_resource.resource) for span in scope.spans
                    ]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _body(self) -> bytes:
        """The exporter streams: there is no Content-Length, but chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_args):
        pass


def _told(span, scope, resource) -> dict:
    def values(attributes):
        return {
            a.key: getattr(a.value, a.value.WhichOneof("value") or "string_value")
            for a in attributes
        }

    return {
        "name": span.name,
        "by": scope.scope.name.rpartition("-")[2],
        "trace": span.trace_id.hex(),
        "parent": span.parent_span_id.hex(),
        "span": span.span_id.hex(),
        "said": values(span.attributes),
        "resource": values(resource.attributes),
    }


@pytest.fixture
def collector():
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


SECRET = "canary-4242"


def traced(collector, preload, program=f"{TOPIC}/app.mjs") -> list[dict]:
    """Serves a program with something loaded before it, asks twice, stops it: the
    spans that were received by then."""
    flags = ("--import", str(preload)) if preload else ()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    env |= {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test"}
    with node.serve(program, flags=flags, env=env, ready=60, grace=10) as server:
        with server.client(headers={"User-Agent": SECRET}) as client:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            url = f"/orders?token={SECRET}"
            assert client.post(url, json=ORDER, headers=headers).status_code == 201
            assert client.get(f"/orders/{SECRET}").status_code == 404
    return collector.spans


@heavy
@pytest.mark.parametrize("version", ["otel.naive.mjs", "otel.mjs"])
def test_the_spans_of_the_last_seconds_are_lost_or_flushed_at_shutdown(
    version, collector
):
    spans = traced(collector, AGENTS / version)
    if version == "otel.naive.mjs":
        assert spans == []
        return
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    headers = collector.requests[0][1]
    # who reads as many bytes as Content-Length says reads none, and may answer 200
    assert headers["Transfer-Encoding"] == "chunked" and "Content-Length" not in headers
    placed = next(span for span in spans if span["name"] == "POST /orders")
    assert (placed["trace"], placed["parent"]) == (TRACE, CALLER)
    assert placed["said"]["http.response.status_code"] == 201
    assert placed["resource"]["service.name"] == "orders"
    handlers = [s for s in spans if s["said"].get("express.type") == "request_handler"]
    assert {s["said"]["http.route"] for s in handlers} == {"/orders", "/orders/:id"}
    assert SECRET not in json.dumps(spans)
    # and nothing of machine, process or environment was looked up
    assert set(placed["resource"]) == {
        *("service.name", "telemetry.sdk.language"),
        *("telemetry.sdk.name", "telemetry.sdk.version"),
    }


@heavy
def test_a_collector_that_is_away_costs_the_spans_and_not_the_good_end():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    env |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "500"}  # ms, of all its tries
    flags = ("--import", str(AGENTS / "otel.mjs"))
    served = node.serve(f"{TOPIC}/app.mjs", flags=flags, env=env, ready=60, grace=20)
    with served as server, server.client() as client:
        assert client.get("/orders/ord_1").status_code == 404
        os.kill(server.pid, signal.SIGTERM)
        process.until(lambda: not server.alive())  # and it raises if not with 0
        assert "spans were lost: ECONNREFUSED" in server.output()


@heavy
def test_left_on_detection_sends_host_user_and_command_line_and_asks_no_cloud(
    collector, tmp_path
):
    (tmp_path / "node_modules").symlink_to(AGENTS / "node_modules")
    source = (AGENTS / "otel.mjs").read_text()
    (preload := tmp_path / "otel.mjs").write_text(
        source.replace("autoDetectResources: false", "autoDetectResources: true")
    )
    [told, *_] = [set(span["resource"]) for span in traced(collector, preload)]
    assert told >= {"host.name", "process.owner", "process.command_args"}
    groups = {name.split(".")[0] for name in told}
    assert groups == {"deployment", "service", "telemetry", "host", "os", "process"}


@heavy
def test_beside_a_tracer_a_trace_that_begins_here_has_two_ids_unless_lines_take_its_own(
    collector, module
):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    flags = ("--import", str(AGENTS / "otel.mjs"))
    before = (
        "import { createRequire } from 'node:module';\n"
        f"const require = createRequire('{AGENTS / 'otel.mjs'}');\n"
        "const { trace } = require('@opentelemetry/api');\n"
        "const traced = (req, res, next) => next();\n"
        "const inLogs = () => {\n"
        "  const of = trace.getActiveSpan()?.spanContext();\n"
        "  return of ? { trace: of.traceId, span: of.spanId } : {};\n"
        "};\nconst context = { traced, inLogs };\n"
    )
    caller = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    for path, same in (
        (module("app.mjs", "context", INSIDE), False),
        (module("app.mjs", "context", before), True),
    ):
        collector.spans.clear()
        with node.serve(path, flags=flags, env=env, ready=60, grace=10) as server:
            with server.client() as client:
                assert client.post("/orders", json=ORDER).status_code == 201
                client.get("/orders/ord_1", headers=caller)
                kept, placed, read = logged(server, 3)
        spans = {span["name"]: span["trace"] for span in collector.spans}
        assert kept["trace"] == placed["trace"]
        assert (placed["trace"] == spans["POST /orders"]) is same
        assert read["trace"] == TRACE in {one["trace"] for one in collector.spans}


@heavy
@pytest.mark.claim("observability/first-line-of-main")
def test_a_tracer_that_is_imported_first_comes_too_late_in_es_modules(
    collector, tmp_path
):
    packages = tmp_path / "node_modules"
    packages.symlink_to(AGENTS / "node_modules")
    (tmp_path / "otel.mjs").write_text((AGENTS / "otel.mjs").read_text())
    program = tmp_path / "main.mjs"
    program.write_text(
        "import './otel.mjs';\n"
        "import { createServer } from 'node:http';\n"
        f"import {{ createApp }} from '{(HERE / 'app.mjs').as_uri()}';\n"
        "const server = createServer(createApp());\n"
        "server.listen(0, '127.0.0.1', () =>\n"
        "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => {\n"
        "  server.close();\n  server.closeIdleConnections();\n});\n"
    )
    late = [span["by"] for span in traced(collector, None, program)]
    collector.spans.clear()
    early = [span["by"] for span in traced(collector, AGENTS / "otel.mjs")]
    print(late, early)
    assert "express" in early and "express" not in late


@contextlib.contextmanager
def datadog_agent(tmp_path):
    """Datadog's test agent on ports of its own: its URL."""
    ports = []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(str(probe.getsockname()[1]))
    argv = [TEST_AGENT, "--port", ports[0], "--otlp-http-port", ports[1]]
    argv += ["--otlp-grpc-port", ports[2], "--web-ui-port", "0"]
    with (tmp_path / "agent").open("wb") as log:
        child, token = process.start(argv, cwd=tmp_path, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{ports[0]}"

            def answers():
                with contextlib.suppress(httpx.HTTPError):
                    return httpx.get(f"{url}/info").status_code == 200

            process.until(answers, 60)
            yield url
        finally:
            process.end(child, token, grace=5)


@heavy
@pytest.mark.claim("observability/one-or-the-other")
def test_datadogs_tracer_sends_the_request_to_its_agent_and_its_ids_to_the_log(
    tmp_path, module
):
    with datadog_agent(tmp_path) as url:
        env = {
            "DD_TRACE_AGENT_URL": url,
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
        }
        flags = ("--import", str(AGENTS / "datadog.mjs"))
        path = module("app.mjs", "context", INSIDE)
        with node.serve(path, flags=flags, env=env, ready=60) as server:
            with server.client() as client:
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                client.post(f"/orders?q={SECRET}", json=ORDER, headers=headers)
                client.get(f"/orders/{SECRET}")
                lines = logged(server, 3)
        spans = [
            span for trace in httpx.get(f"{url}/test/traces").json() for span in trace
        ]
    requests = {s["resource"]: s for s in spans if s["name"] == "express.request"}
    assert set(requests) == {"POST /orders", "GET /orders/:id"}
    placed = requests["POST /orders"]
    # 64 bits, decimal: the lower half of the trace of W3C
    assert placed["trace_id"] == int(TRACE[16:], 16)
    assert lines[0]["dd"]["trace_id"] == TRACE
    assert lines[0]["trace"] == TRACE
    # the URL is sent as it came, but for parameters that look like secrets
    assert SECRET in requests["GET /orders/:id"]["meta"]["http.url"]
    assert f"?q={SECRET}" in placed["meta"]["http.url"]


@heavy
@pytest.mark.claim("observability/one-or-the-other")
def test_new_relics_agent_prints_in_serverless_mode_what_it_would_send():
    env = {
        "NEW_RELIC_SERVERLESS_MODE_ENABLED": "true",
        "NEW_RELIC_NO_CONFIG_FILE": "true",
        "NEW_RELIC_APP_NAME": "orders",
        "NEW_RELIC_ACCOUNT_ID": "1",
        "NEW_RELIC_TRUSTED_ACCOUNT_KEY": "1",
        "NEW_RELIC_LOG_ENABLED": "false",
    }
    loader = (AGENTS / "node_modules/newrelic/esm-loader.mjs").as_uri()
    flags = ("--import", loader, "--require", str(AGENTS / "node_modules/newrelic"))
    done = node.run(f"{TOPIC}/agents/newrelic.mjs", env=env, flags=flags, timeout=60)
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    (payload,) = (line for line in printed if isinstance(line, list))
    assert payload[1] == "NR_LAMBDA_MONITORING"
    data = json.loads(gzip.decompress(base64.b64decode(payload[-1])))["data"]
    calls = [agents for _, _, agents in data["span_event_data"][2]]
    assert {"request.parameters.q": "tea"}.items() <= dict(
        itertools.chain(*(one.items() for one in calls))
    ).items()
    metrics = [name["name"] for name, _ in data["metric_data"][3]]
    assert "WebTransaction/Expressjs/GET//orders/:id" in metrics
    assert any(m.startswith("Nodejs/Middleware/Expressjs/jsonParser") for m in metrics)


# --- metrics: helpers -------------------------------------------------------------

SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def samples(text: str, name: str) -> list[tuple[dict, float]]:
    """The series `name` of a page with metrics: labels and value of each."""
    return [
        (dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value))
        for found, labels, value in SERIES.findall(text)
        if found == name
    ]


def requests_of(text: str) -> float:
    """How many requests a page with metrics counts, all routes together."""
    return sum(v for _, v in samples(text, "http_request_duration_seconds_count"))


def metrics_url(server) -> str:
    return re.search(r"metrics on (http\S+)", server.output())[1]


def two_ports(**env: str):
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0", **env}
    return node.serve(f"{TOPIC}/two-ports.mjs", env=env)


def crew(workers: int = 2, flags: tuple[str, ...] = ()):
    env = {"METRICS_PORT": "0"}
    return node.serve(f"{TOPIC}/crew.mjs", str(workers), env=env, flags=flags)


@contextlib.contextmanager
def begun(server):
    """A request that is half sent, on a connection that the server knows: a function
    sends the rest and gives the answer."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
        half = b"GET /orders/ord_1 HTTP/1.1\r\nHost: x\r\n"
        raw.sendall(half + b"\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 ")
        raw.sendall(half)

        def finish() -> bytes:
            raw.sendall(b"\r\n")
            return raw.recv(1000)

        yield finish


def promtool(*args, code: int = 0) -> str:
    """What promtool prints; it must end with `code`."""
    if why := services.missing("prometheus"):
        pytest.skip(why)
    done = subprocess.run(
        ["promtool", *map(str, args)],
        capture_output=True, text=True, check=False, timeout=30, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def expression(series: dict[str, str], expr: str, minute: int, tmp_path) -> float:
    """The value of a PromQL expression over made-up series, one sample a minute, by
    Prometheus's own engine: it is asked whether it is nothing, and says what it is."""
    (tmp_path / "test.yml").write_text(
        yaml.safe_dump(
            {
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": name, "values": values}
                            for name, values in series.items()
                        ],
                        "promql_expr_test": [
                            {
                                "expr": expr,
                                "eval_time": f"{minute}m",
                                "exp_samples": [{"labels": "{}", "value": -1}],
                            }
                        ],
                    }
                ]
            }
        )
    )
    said = promtool("test", "rules", tmp_path / "test.yml", code=1)
    return float(re.search(r"got:.*?\} (\S+?)\"?$", said, re.MULTILINE)[1])


# --- metrics ------------------------------------------------------------------------


def test_a_request_is_counted_under_its_route_and_the_metrics_have_a_port_of_their_own():
    with two_ports() as server, server.client() as c:
        assert c.get("/orders/ord_1").json()["status"] == "paid"
        assert c.get("/orders/ord_2").status_code == 404
        assert c.get("/nonsense/17").status_code == 404
        assert c.get("/livez").status_code == 200  # no traffic
        assert c.get("/metrics").status_code == 404
        url = metrics_url(server)
        page = httpx.get(url)
        assert httpx.get(url.replace("/metrics", "/orders/ord_1")).status_code == 404
    assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {
        (one["method"], one["route"], one["status"]): value
        for one, value in samples(page.text, "http_request_duration_seconds_count")
    }
    assert found == {
        ("GET", "/orders/:id", "200"): 1,
        ("GET", "/orders/:id", "404"): 1,
        ("any", "none", "404"): 2,
    }
    assert samples(page.text, "http_requests_in_flight") == [({}, 0)]
    assert samples(page.text, "http_requests_in_flight_capacity") == [({}, 100)]
    [(_, active)] = samples(page.text, "nodejs_eventloop_active_seconds_total")
    assert active > 0


def test_the_shop_serves_whoever_comes_until_the_balancer_has_heard_that_it_leaves():
    with two_ports(DRAIN_MS="2000") as server, server.client() as c:
        assert c.get("/readyz").status_code == 200
        os.kill(server.pid, signal.SIGTERM)
        os.kill(server.pid, signal.SIGTERM)  # to the group, too
        said = process.until(
            lambda: (a := c.get("/readyz")).status_code == 503 and a.headers
        )
        assert said.get("Connection") != "close"  # it drains only later
        with server.client() as new:
            assert new.get("/readyz").json() == {"process": "leaving"}
            assert new.get("/orders/ord_1").status_code == 200
            assert httpx.get(metrics_url(server)).status_code == 200
            process.until(lambda: new.get("/livez").headers.get("Connection") == "close")
        # each connection is told, then closed
        assert c.get("/livez").headers.get("Connection") == "close"
        process.until(lambda: not server.alive())


def test_a_shop_that_cannot_leave_says_so_and_ends_with_1_and_no_crash(tmp_path):
    (before := tmp_path / "fails.mjs").write_text(
        """
    import { syncBuiltinESMExports } from 'node:module';
    import timers from 'node:timers/promises';
    timers.setTimeout = async () => { throw new Error('no drain'); };
    syncBuiltinESMExports();
    """
    )
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    flags = ("--import", before.as_uri())
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with node.serve(f"{TOPIC}/two-ports.mjs", env=env, flags=flags) as server:
            os.kill(server.pid, signal.SIGTERM)
            process.until(lambda: not server.alive())
            output = server.output()
    assert "no drain" in output
    assert "Node.js v" not in output  # which it says last when nobody handles an error


BROKEN = """
import client from 'prom-client';
const { metrics } = client.Registry.prototype;
client.Registry.prototype.metrics = async function () {
  if (this.asked) return metrics.call(this);
  this.asked = true;
  throw new Error('no pool');
};
"""


def test_a_collector_that_fails_is_503_and_no_end_of_the_process(tmp_path):
    before = tmp_path / "broken.mjs"
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    before.write_text(BROKEN)
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    flags = ("--import", before.as_uri())
    with node.serve(f"{TOPIC}/two-ports.mjs", env=env, flags=flags) as server:
        url = metrics_url(server)
        assert [httpx.get(url).status_code for _ in range(2)] == [503, 200]


FAULTS = """
import { createApp } from './observability/metered.mjs';
import { createMetrics } from './observability/metrics.mjs';
import { once } from 'node:events';
const metrics = createMetrics();
const orders = { async get(id) {
  if (id === 'ord_broken') throw new Error('no database');
  if (id === 'ord_slow') await new Promise(() => {});
  return null;
} };
const server = createApp({ metrics, orders }).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}/orders`;
console.log((await fetch(`${url}/ord_broken`)).status);
const late = new AbortController();
const slow = fetch(`${url}/ord_slow`, { signal: late.signal }).catch(() => {});
const line = async (pattern) => (await metrics.register.metrics()).match(pattern)?.[0];
const wait = async (pattern) => {
  while (!(await line(pattern))) await new Promise((go) => setTimeout(go, 10));
  return line(pattern);
};
console.log(await wait(/^http_requests_in_flight 1$/m));
late.abort();
await slow;
console.log(await wait(/^http_requests_in_flight 0$/m));
console.log(await line(/seconds_count{.*status="500".*/));
console.log(await line(/seconds_count{.*status="499".*/));
server.close();
server.closeAllConnections();
"""


def test_an_error_and_a_client_that_hung_up_are_counted_as_what_they_are():
    logged, *told = lines_of(FAULTS)
    assert json.loads(logged)["error"]["type"] == "Error"  # that it was, and where
    assert told == [
        "500",
        "http_requests_in_flight 1",
        "http_requests_in_flight 0",
        'seconds_count{method="GET",route="/orders/:id",status="500"} 1',
        'seconds_count{method="GET",route="/orders/:id",status="499"} 1',
    ]


@pytest.mark.parametrize("status", ["200", "undefined", "399", "500", "'400x'"])
@pytest.mark.parametrize("snippet", ["app.mjs", "metered.mjs"])
def test_an_errors_own_status_answers_only_if_it_is_a_clients_mistake(
    snippet, status, module
):
    before = (
        "const orders = { get: async () => {\n"
        f"  throw Object.assign(new Error('x'), {{ expose: true, status: {status} }});\n"
        "} };\n"
    )
    with node.serve(module(snippet, "orders", before)) as server, server.client() as c:
        assert c.get("/orders/ord_1").status_code == 500
        [line] = logged(server, 1, "request failed")
    assert line["level"] == "error" and line["error"]["type"] == "Error"


STREAMS = """
import express from 'express';
import { createPino } from './observability/loggers.mjs';
import { problems } from './observability/request-log.mjs';
import { once } from 'node:events';
const app = express();
app.get('/', (req, res, next) => {
  res.write('[1,', () => next(new Error('card 4242')));
});
app.use(problems({ logger: createPino() }));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
await answer.text().then(console.log, () => console.log(answer.status, 'cut'));
server.close();
"""


def test_an_error_in_the_middle_of_an_answer_cuts_it_and_is_a_line_like_others():
    done = node.evaluate(STREAMS)
    line, seen = done.stdout.splitlines()
    assert json.loads(line)["msg"] == "request failed" and seen == "200 cut"
    assert "4242" not in done.stdout and done.stderr == ""


@pytest.mark.parametrize(
    ("snippet", "path", "limit"),
    [("signin.mjs", "/signin", 1024), ("app.mjs", "/orders", 16 * 1024)],
)
def test_a_body_is_read_up_to_a_limit_and_the_answer_names_no_framework(
    snippet, path, limit
):
    with node.serve(f"{TOPIC}/{snippet}") as server, server.client() as c:
        bodies = [{"user": "x" * (limit - 50)}, {"user": "x" * limit}]
        answers = [c.post(path, json=body) for body in bodies]
        told = server.output()
    assert [a.status_code == 413 for a in answers] == [False, True]
    assert not any("X-Powered-By" in a.headers for a in answers)
    assert "x" * 101 not in told


def test_a_parser_of_orders_may_be_async(module):
    before = "const parseOrder = async (body) => ({ errors: [{ detail: body.note }] });"
    with node.serve(module("app.mjs", "parseOrder", before)) as server:
        with server.client() as c:
            answer = c.post("/orders", json={"note": "no"})
    assert answer.status_code == 422 and answer.json()["errors"] == [{"detail": "no"}]


@pytest.mark.parametrize("snippet", ["app.mjs", "metered.mjs"])
def test_what_nobody_can_read_is_the_clients_mistake_and_pages_nobody(snippet, module):
    with node.serve(module(snippet)) as server, server.client() as c:
        answer = c.get("/orders/%zz")
        assert answer.status_code == 400 and answer.json()["status"] == 400
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        if snippet == "app.mjs":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert c.post("/orders", content="a=1", headers=form).status_code == 422
            lines = logged(server, 2)  # and none of an error among them
            said = [[one[key] for key in ("level", "route", "status")] for one in lines]
            assert said == [["info", "none", 400], ["info", "/orders", 422]]


MOUNTED = """
import express from 'express';
import { once } from 'node:events';
import { createMetrics } from './observability/metrics.mjs';
import { createPino } from './observability/loggers.mjs';
import { requestLog } from './observability/request-log.mjs';
const mounts = ['', '/admin'];
const metrics = createMetrics({ mounts });
const routes = express.Router().get('/:id', (req, res) => res.json({}));
const app = express();
app.use(requestLog({ logger: createPino(), mounts }), metrics.measure);
app.use('/admin', routes).use('/tenants/:name', routes).get('/:id', (req, res) => res.json({}));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;
for (const path of ['/1', '/admin/1', '/AdMiN/1', '/tenants/ann@shop/7', '/tenants/bob@shop/8']) {
  await (await fetch(url + path)).text();
}
server.close();
server.closeAllConnections();
await once(server, 'close');
console.log(await metrics.register.metrics());
"""


def test_a_router_has_its_own_name_and_not_the_clients_spelling_of_it():
    printed = javascript(MOUNTED)
    counts = samples(printed, "http_request_duration_seconds_count")
    found = {one["route"]: value for one, value in counts}
    assert found == {"/:id": 1, "/admin/:id": 1, "*/:id": 3}
    lines = [json.loads(x) for x in printed.splitlines() if x.startswith("{")]
    assert [line["route"] for line in lines] == ["/:id", "/admin/:id", *["*/:id"] * 3]
    assert "ann@shop" not in printed


SLOW = """
const both = Promise.withResolvers();
const orders = { get: async () => { console.log('asked'); await both.promise; } };
"""


def test_who_hangs_up_is_499_in_the_log_as_well(module):
    path = module("app.mjs", "orders", SLOW)
    with node.serve(path) as server, server.client() as c:
        with socket.create_connection(("127.0.0.1", server.port), 5) as raw:
            raw.sendall(b"GET /orders/ord_1 HTTP/1.1\r\nHost: x\r\n\r\n")
            process.until(lambda: "asked" in server.output())
        [line] = logged(server, 1)
        assert c.get("/nothing").status_code == 404
    said = {key: line[key] for key in ("level", "route", "status")}
    assert said == {"level": "info", "route": "/orders/:id", "status": 499}


@pytest.mark.claim("observability/label-by-user")
@pytest.mark.parametrize(
    ("snippet", "grows"), [("metered.naive", True), ("metered", False)]
)
def test_made_up_paths_and_customers_grow_the_naive_metrics_only(snippet, grows):
    app = node.resolve(f"{TOPIC}/{snippet}.mjs").as_uri()
    metrics = node.resolve(
        f"{TOPIC}/{snippet.replace('metered', 'metrics')}.mjs"
    ).as_uri()
    seen = lines_of(
        f"""
    import {{ createApp }} from '{app}';
    import {{ createMetrics }} from '{metrics}';
    import {{ once }} from 'node:events';
    const metrics = createMetrics();
    const server = createApp({{ metrics }}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${{server.address().port}}`;
    const count = async () => (await metrics.register.metrics())
      .match(/^http_request_duration_seconds_count/gm)?.length ?? 0;
    for (const round of [1, 2]) {{
      for (let i = 0; i < 100; i += 1) {{
        const headers = {{ 'X-Customer': `cus_${{round}}_${{i}}` }};
        await (await fetch(`${{url}}/orders/ord_${{i}}?x=${{i}}`, {{ headers }})).text();
        await (await fetch(`${{url}}/wp-admin/${{round}}/${{i}}`)).text();
      }}
      console.log(await count());
    }}
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == (["200", "400"] if grows else ["3", "3"])


@pytest.mark.parametrize("snippet", ["metered.naive.mjs", "two-ports.mjs"])
def test_a_stranger_reads_the_naive_shops_metrics_and_not_the_hardened_ones(snippet):
    secret = "cus_ann@shop.test"
    env = {"METRICS_PORT": "0", "DRAIN_MS": "0"}
    with node.serve(f"{TOPIC}/{snippet}", env=env) as server, server.client() as c:
        c.get("/orders/ord_1", headers={"X-Customer": secret})
        page = c.get("/metrics")
        if "naive" in snippet:
            assert page.status_code == 200 and secret in page.text
            return
        assert page.status_code == 404
        assert "127.0.0.1" in metrics_url(server)
        inside = httpx.get(metrics_url(server)).text
        assert "/orders/:id" in inside and secret not in inside


LAG = """
import client from 'prom-client';
import { monitorEventLoopDelay } from 'node:perf_hooks';
const register = new client.Registry();
client.collectDefaultMetrics({ register });
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const block = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
const lag = (text) => Number(text.match(/^nodejs_eventloop_lag_max_seconds (.*)$/m)[1]);
"""


@pytest.mark.claim("observability/lag-shows-every-block")
def test_whoever_scrapes_second_does_not_see_the_lag_that_the_first_one_saw():
    seen = lines_of(
        LAG
        + """
    await wait(100);
    block(1000);
    await wait(100);
    console.log(lag(await register.metrics()) > 0.9);
    console.log(lag(await register.metrics()) < 0.9);
    """
    )
    assert seen == ["true", "true"]


@pytest.mark.claim("observability/lag-shows-every-block")
def test_the_lag_metric_does_not_see_the_block_that_the_scrape_itself_is():
    seen = lines_of(
        LAG
        + """
    const { createMetrics } = await import('./observability/metrics.mjs');
    const active = createMetrics();
    const busy = async () => Number((await active.register.metrics())
      .match(/^nodejs_eventloop_active_seconds_total (.*)$/m)[1]);
    // what a page of some megabytes does, at the moment when it does it: formatting
    new client.Gauge({ name: 'z', help: 'z', registers: [register],
      async collect() { await null; block(1000); } });
    const own = monitorEventLoopDelay({ resolution: 10 });
    own.enable();
    await wait(100);
    const before = await busy();
    await register.metrics();
    await wait(100);
    console.log(own.max / 1e9 > 0.9, (await busy()) - before > 0.9);
    console.log(lag(await register.metrics()) < 0.9);
    """
    )
    assert seen == ["true true", "true"]


# --- health -------------------------------------------------------------------------

HEALTH = """
import express from 'express';
import { createHealth } from './observability/health.mjs';
import { once } from 'node:events';
const leaving = new AbortController();
let database = async () => {};
const checks = { orders: (options) => database(options) };
const app = express();
app.use(createHealth({ checks, leaving: leaving.signal, timeoutMs: 200, freshMs: %d }));
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
async function ask(what) {
  const url = `http://127.0.0.1:${server.address().port}/${what}`;
  const answer = await fetch(url);
  console.log(answer.status, await answer.text());
}
await ask('readyz');
database = async () => { throw new Error('password=hunter2'); };
await ask('readyz');
database = () => new Promise(() => {}); // neither answers nor fails
await ask('readyz');
await ask('livez');
database = async () => {};
await ask('readyz');
leaving.abort();
await ask('readyz');
await ask('livez');
server.close();
server.closeAllConnections();
"""


def test_a_process_without_its_database_is_not_ready_but_live_and_so_is_one_that_leaves():
    printed = lines_of(HEALTH % 0)
    lines = [json.loads(line) for line in printed if line.startswith("{")]
    assert "hunter2" not in json.dumps(printed)
    # why is in the log, without the message
    assert [(one["check"], one["error"]["type"]) for one in lines] == [
        ("orders", "Error"),
        ("orders", "TimeoutError"),
    ]
    assert [line for line in printed if not line.startswith("{")] == [
        '200 {"orders":"ok"}',
        '503 {"orders":"down"}',
        '503 {"orders":"down"}',
        '200 {"status":"ok"}',
        '200 {"orders":"ok"}',
        '503 {"orders":"ok","process":"leaving"}',
        '200 {"status":"ok"}',
    ]


def test_many_who_ask_whether_it_is_ready_make_one_query_of_a_moment():
    seen = lines_of(
        (HEALTH % 60_000).split("await ask('readyz')")[0]
        + """
    let queries = 0;
    database = async () => { queries += 1; };
    await Promise.all([1, 2, 3].map(() => ask('readyz')));
    await ask('readyz');
    leaving.abort();
    await ask('readyz');
    console.log(queries);
    server.close();
    server.closeAllConnections();
    """
    )
    left = '503 {"orders":"ok","process":"leaving"}'
    assert seen == [*['200 {"orders":"ok"}'] * 4, left, "1"]


@pytest.mark.parametrize(
    ("check", "status"),
    [
        ("() => { throw new Error('no database is open'); }", 503),  # node:sqlite does
        ("() => Promise.reject(undefined)", 503),
        ("async () => false", 503),
        ("async () => new Response('', { status: 500 })", 503),
        ("async () => new Response('')", 200),
        ("() => 0", 200),  # what a query found is no verdict
    ],
)
def test_whatever_way_a_check_says_no_the_process_is_not_ready_and_lives_on(
    check, status
):
    seen = lines_of(
        f"""
    import express from 'express';
    import {{ once }} from 'node:events';
    import {{ setImmediate as turn }} from 'node:timers/promises';
    import {{ createHealth }} from './observability/health.mjs';
    let late;
    const check = {check};
    const checks = {{ db: ({{ signal }}) => {{ late = signal; return check(); }} }};
    const logger = {{ error() {{}} }};
    const app = express().use(createHealth({{ checks, logger, timeoutMs: 100 }}));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${{server.address().port}}/readyz`;
    const answer = await fetch(url);
    console.log(answer.status, answer.headers.get('cache-control'));
    if (!late.aborted) await once(late, 'abort', {{ keep: setTimeout(() => {{}}, 500) }});
    await turn(); // by now a rejection that nobody handles has ended the process
    console.log('alive');
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == [f"{status} no-store", "alive"]


def test_of_checks_that_never_end_there_are_three_at_most_and_one_that_ends_makes_room():
    seen = lines_of(
        (HEALTH % 0).split("await ask('readyz')")[0]
        + """
    const asked = [];
    database = () => {
      const query = Promise.withResolvers();
      asked.push(query);
      return query.promise;
    };
    for (let i = 0; i < 5; i += 1) await ask('readyz');
    console.log(asked.length);
    asked[0].resolve();
    database = async () => {};
    await ask('readyz');
    server.close();
    server.closeAllConnections();
    """
    )
    told = [line for line in seen if not line.startswith("{")]
    assert told == [*['503 {"orders":"down"}'] * 5, "3", '200 {"orders":"ok"}']


@pytest.mark.parametrize(
    "options",
    [
        "{ checks: { db: true } }",
        "{ timeoutMs: '500' }",
        "{ timeoutMs: -1 }",
        "{ freshMs: '1s' }",
    ],
)
def test_health_that_could_not_work_is_not_made(options):
    done = node.evaluate(
        "import { createHealth } from './observability/health.mjs';\n"
        f"createHealth({options});",
        code=1,
    )
    assert "TypeError: " in done.stderr


# --- cluster ------------------------------------------------------------------------


def scrapes(url: str, count: int) -> list[float]:
    """What each of `count` scrapes counts, each over a connection of its own."""
    return [requests_of(httpx.get(url).text) for _ in range(count)]


@pytest.mark.claim("observability/each-worker-is-enough")
def test_each_workers_own_counter_goes_backwards_and_the_sum_of_all_does_not():
    with node.serve(f"{TOPIC}/crew.naive.mjs", "2") as server:
        with server.client() as kept:  # one connection, so one worker
            for _ in range(30):
                kept.get("/orders/ord_1")
        seen = scrapes(f"{server.url}/metrics", 6)
        assert sorted(set(seen)) == [0, 30]
        assert any(later < earlier for earlier, later in itertools.pairwise(seen))
    with crew() as server:
        url, seen = metrics_url(server), []
        for _ in range(6):
            with load.client(server.url) as c:
                for _ in range(5):
                    c.get("/orders/ord_1")
            seen += scrapes(url, 1)
        assert seen == [5, 10, 15, 20, 25, 30]
        counts = samples(httpx.get(url).text, "http_request_duration_seconds_count")
        assert {one["worker"]: value for one, value in counts} == {"1": 15, "2": 15}


@pytest.mark.claim("observability/sum-of-workers-only-grows")
def test_the_sum_of_workers_falls_when_one_dies_and_its_series_alone_does_not(tmp_path):
    with crew() as server, load.client(server.url) as c:
        for _ in range(20):
            c.get("/orders/ord_1")
        url = metrics_url(server)
        assert scrapes(url, 1) == [20]
        [first, second] = process_ids(server)
        os.kill(first, signal.SIGKILL)
        process.until(
            lambda: len(process_ids(server)) == 2 and first not in process_ids(server)
        )
        assert second in process_ids(server)
        page = httpx.get(url).text
        assert requests_of(page) == 10
        counts = samples(page, "http_request_duration_seconds_count")
        assert [(one["worker"], value) for one, value in counts] == [("2", 10)]
    # What Prometheus makes of it: 1 000 requests a worker and minute; after ten
    # minutes worker 1 dies, 3 takes its place.
    worker = 'r{worker="%d"}'
    apart = {
        worker % 1: "0+1000x9",
        worker % 2: "0+1000x19",
        worker % 3: "_x10 0+1000x9",
    }
    total = " ".join(
        str(1000 * (minute + (minute if minute < 10 else minute - 10)))
        for minute in range(20)
    )
    summed = expression({"r": total}, "sum(increase(r[4m]))", 11, tmp_path)
    labelled = expression(apart, "sum(increase(r[4m]))", 11, tmp_path)
    assert labelled < 9000  # 8 000 requests have come
    assert summed > 14_000


def process_ids(server) -> list[int]:
    """The workers of a crew, oldest first."""
    children = psutil.Process(server.pid).children()
    return [one.pid for one in sorted(children, key=lambda one: one.create_time())]


def test_the_page_of_all_workers_says_503_when_one_of_them_is_silent():
    with crew() as server:
        stuck = psutil.Process(process_ids(server)[0])
        stuck.suspend()
        try:
            begun = time.monotonic()
            assert httpx.get(metrics_url(server), timeout=20).status_code == 503
            assert time.monotonic() - begun > 4.5
        finally:
            stuck.resume()
        assert httpx.get(metrics_url(server), timeout=20).status_code == 200


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_crew_whose_workers_cannot_start_gives_up_and_ends_whoever_scrapes_it(
    tmp_path,
):
    # however long a start takes here: all of them are in the supervisor's window
    (preload := tmp_path / "stopped.mjs").write_text(
        "import cluster from 'node:cluster';\n"
        "if (cluster.isPrimary) performance.now = () => 1;\n"
    )
    flags = ("--import", preload.as_uri())
    with socket.create_server(("127.0.0.1", 0)) as taken, ThreadPoolExecutor(1) as pool:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        env = {"PORT": str(taken.getsockname()[1]), "METRICS_PORT": str(port)}
        argv = (f"{TOPIC}/crew.mjs", "1")
        ended = pool.submit(node.run, *argv, env=env, flags=flags, timeout=90, code=1)
        pages = []
        url = f"http://127.0.0.1:{port}/metrics"
        process.until(lambda: accepts(port))
        held = load.Held(url)  # who scrapes is no reason to stay
        # between two workers the answer comes at once; else one that dies before it
        # has answered would cost five seconds, and with them all such moments
        with httpx.Client(timeout=0.2) as c:
            while not ended.done():
                with contextlib.suppress(httpx.TransportError):
                    pages.append(c.get(url))
        held.close()
        assert "fatal" in ended.result().stderr
    assert 503 in {page.status_code for page in pages}
    # what a worker says before it fails is a page; nothing is none
    assert all(page.text for page in pages if page.status_code == 200)


ASKED_WHILE_IT_DIES = """
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import client from 'prom-client';
if (cluster.isPrimary) process.once('SIGUSR2', () => {
  const [{ process: { pid } }] = Object.values(cluster.workers);
  process.kill(pid, 'SIGKILL');
  while (!/ Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
  // the primary has not heard of it yet: what a scrape does now
  new client.AggregatorRegistry().clusterMetrics().catch(() => {});
});
"""


def test_a_scrape_in_the_moment_when_a_worker_dies_ends_no_crew(tmp_path):
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    (preload := tmp_path / "asks.mjs").write_text(ASKED_WHILE_IT_DIES)
    with crew(flags=("--import", preload.as_uri())) as server:
        before = process_ids(server)
        os.kill(server.pid, signal.SIGUSR2)
        process.until(lambda: len(set(process_ids(server)) - set(before)) == 1)
        assert httpx.get(metrics_url(server), timeout=20).status_code == 200


def test_a_crew_that_is_told_twice_to_end_finishes_what_it_has_begun():
    with crew(1) as server:
        url = metrics_url(server)
        with begun(server) as finish:
            for _ in range(2):
                os.kill(server.pid, signal.SIGTERM)
                # an answer, so the signal has been taken; and metrics go on to the end
                assert requests_of(httpx.get(url).text) == 1
            assert finish().startswith(b"HTTP/1.1 200 ")
        process.until(lambda: not server.alive())


@pytest.mark.claim("observability/average-of-p99s")
def test_prom_client_averages_the_p99_of_workers():
    seen = lines_of(
        """
    import client from 'prom-client';
    const pages = await Promise.all([0.01, 1].map((seconds) => {
      const register = new client.Registry();
      const name = 'nodejs_eventloop_lag_p99_seconds';
      client.collectDefaultMetrics({ register });
      const { aggregator } = register.getSingleMetric(name);
      const gauge = { name, help: 'lag', type: 'gauge', aggregator };
      return [{ ...gauge, values: [{ value: seconds, labels: {} }] }];
    }));
    const all = client.AggregatorRegistry.aggregate(pages);
    console.log((await all.metrics()).split('\\n')[2]);
    """
    )
    assert seen == ["nodejs_eventloop_lag_p99_seconds 0.505"]


@pytest.mark.claim("observability/average-of-p99s")
def test_prom_client_adds_up_what_is_not_told_otherwise():
    seen = lines_of(
        """
    import client from 'prom-client';
    const pages = await Promise.all([1, 2].map(async (value) => {
      const register = new client.Registry();
      new client.Gauge({ name: 'g', help: 'g', registers: [register] }).set(value);
      return register.getMetricsAsJSON();
    }));
    console.log((await client.AggregatorRegistry.aggregate(pages).metrics()).split('\\n')[2]);
    """
    )
    assert seen == ["g 3"]


@pytest.mark.claim("observability/average-of-p99s")
def test_the_average_of_p99s_is_too_high_when_hardly_anybody_asks_the_slow_instance():
    [averaged, whole] = lines_of(
        """
    import { exact, latencies } from './observability/quantile.mjs';
    const fleet = [...[2, 3, 4].map((seed) => latencies(3000, 0.05, seed)), latencies(10, 2, 5)];
    const p99s = fleet.map((one) => exact(one, 0.99));
    console.log(p99s.reduce((sum, one) => sum + one, 0) / 4);
    console.log(exact(fleet.flat(), 0.99));
    """
    )
    assert float(averaged) > 5 * float(whole)


# --- quantiles ----------------------------------------------------------------------


@pytest.mark.claim("observability/buckets-decide")
def test_a_quantile_is_as_exact_as_its_bucket_and_an_average_of_quantiles_is_none():
    said = dict(
        line.split(": ")
        for line in node.run(f"{TOPIC}/quantiles.mjs").stdout.splitlines()
    )
    ms = {name: float(value.removesuffix(" ms")) for name, value in said.items()}
    assert abs(ms["buckets around the objective"] / ms["p99"] - 1) < 0.03
    assert ms["default buckets"] / ms["p99"] > 1.25
    assert ms["average of p99s"] < 0.6 * ms["p99 of the fleet"]
    assert ms["fleet's average"] < 0.1 * ms["p99 of the fleet"]


def test_the_snippets_estimate_is_prometheus_own(tmp_path):
    uppers = [0.05, 0.1, 0.25, 0.5, 1]
    draw = random.Random(1)
    seconds = [draw.lognormvariate(-2.4, 0.5) for _ in range(1000)]
    series = {
        f'b{{le="{upper}"}}': f"0 {sum(s <= upper for s in seconds)}" for upper in uppers
    }
    series['b{le="+Inf"}'] = f"0 {len(seconds)}"
    theirs = expression(series, "histogram_quantile(0.99, sum by (le) (b))", 1, tmp_path)
    ours, beyond = lines_of(
        "import { estimate } from './observability/quantile.mjs';\n"
        f"console.log(estimate({json.dumps(seconds)}, {uppers}, 0.99));\n"
        f"console.log(estimate([7, 8, 9], {uppers}, 0.99));"
    )
    assert beyond == "1"  # whatever it was, it is the last bucket's edge
    assert float(ours) == pytest.approx(theirs, rel=1e-6)


# --- cardinality --------------------------------------------------------------------


def test_a_histogram_has_fourteen_series_for_each_value_of_a_label():
    counted = json.loads(node.run(f"{TOPIC}/cardinality.mjs", "10").stdout)
    assert (counted["values"], counted["series"]) == (10, 140)


# --- coordinated omission -----------------------------------------------------------


def test_the_stall_is_one_and_comes_after_the_first_request():
    seen = lines_of(
        """
    import { once } from 'node:events';
    import { monitorEventLoopDelay } from 'node:perf_hooks';
    import { createApp } from './observability/stall.mjs';
    const server = createApp({ afterMs: 1, stallMs: 800 }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    const url = `http://127.0.0.1:${server.address().port}/orders`;
    for (let i = 0; i < 3; i += 1) {
      await (await fetch(url)).text();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    console.log(delay.max > 700e6);
    server.close();
    server.closeAllConnections();
    """
    )
    assert seen == ["true"]


# --- rules --------------------------------------------------------------------------


def test_the_rules_are_rules_and_each_alert_fires_and_is_silent_when_it_must():
    assert "SUCCESS: 9 rules found" in promtool("check", "rules", "rules.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert "SUCCESS" in promtool("test", "rules", "rules.test.yml")
    rules = yaml.safe_load((HERE / "rules.yml").read_text())
    alerts = {r["alert"] for g in rules["groups"] for r in g["rules"] if "alert" in r}
    checks = yaml.safe_load((HERE / "rules.test.yml").read_text())["tests"]
    asked = [
        (one["alertname"], bool(one["exp_alerts"]))
        for test in checks
        for one in test["alert_rule_test"]
    ]
    assert {name for name, fires in asked if fires} == alerts
    assert {name for name, fires in asked if not fires} == alerts


@pytest.mark.claim("observability/check-rules-is-a-test")
def test_a_ratio_that_is_always_one_passes_the_check_and_fails_the_test(tmp_path):
    assert "SUCCESS" in promtool("check", "rules", "rules.naive.yml")
    shutil.copy(HERE / "rules.naive.yml", tmp_path / "rules.yml")
    test = yaml.safe_load((HERE / "rules.test.yml").read_text())
    [quiet] = [t for t in test["tests"] if t["name"] == "one in a hundred fails"]
    quiet["alert_rule_test"] = [
        one for one in quiet["alert_rule_test"] if one["alertname"] == "ManyErrors"
    ]
    test["tests"] = [quiet]
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    said = promtool("test", "rules", tmp_path / "test.yml", code=1)
    assert "FAILED" in said and "ManyErrors" in said


def test_the_first_error_of_a_kind_is_no_increase_unless_the_series_was_there(tmp_path):
    # the third minute brings the first failure, seen as a series that is 1
    born = expression({"e": "_ _ _ 1 1 1"}, "sum(increase(e[5m]))", 5, tmp_path)
    there = expression({"e": "0 0 0 1 1 1"}, "sum(increase(e[5m]))", 5, tmp_path)
    assert (born, there) == (0, 1)


def test_the_metrics_of_the_guide_pass_promtool_and_prom_clients_defaults_do_not():
    if why := services.missing("prometheus"):
        pytest.skip(why)
    with two_ports() as server, server.client() as c:
        c.get("/orders/ord_1")
        page = httpx.get(metrics_url(server)).text
    own = [
        line for line in page.splitlines(keepends=True)
        if re.match(r"(# \w+ )?(http_|nodejs_eventloop_active)", line)
    ]  # fmt: skip
    for text, code in (("".join(own), 0), (page, 3)):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text,
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("process_cpu" in done.stderr or "nodejs_" in done.stderr) is (code == 3)


# --- Prometheus and Grafana ---------------------------------------------------------


def panels() -> dict[str, str]:
    """The dashboard's queries by title."""
    dashboard = json.loads((HERE / "grafana/dashboard.json").read_text())
    return {
        panel["title"]: target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def test_the_dashboard_is_what_its_program_makes():
    done = subprocess.run(
        [sys.executable, HERE / "grafana/dashboard.py"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == (HERE / "grafana/dashboard.json").read_text()
    assert len(panels()) == 7


def test_prometheus_scrapes_the_shop_and_answers_every_query_of_dashboard_and_rules(
    prometheus_server,
):
    with two_ports() as server, server.client() as c:
        url = metrics_url(server)
        prometheus = prometheus_server(url, rules=HERE / "rules.yml")
        assert prometheus.query("up")[0]["value"] == 1
        done = threading.Event()

        def customers():
            while not done.is_set():
                c.get("/orders/ord_1")
                c.get("/orders/ord_2")
                done.wait(0.02)

        busy = threading.Thread(target=customers)
        busy.start()
        try:
            for title, expr in panels().items():
                expr = expr.replace("$__rate_interval", "1m")
                assert prometheus.until(expr), title
            # NaN, 0 of 0 requests, is not equal to itself
            ratio = "job:requests_bad:ratio_rate5m"
            [bad] = prometheus.until(f"{ratio} == {ratio}")
            assert bad["metric"]["job"] == "orders" and -0.01 < bad["value"] < 1
        finally:
            done.set()
            busy.join()
        rules = prometheus.rules()
        assert {one["health"] for one in rules} == {"ok"}
        states = {one["name"]: one["state"] for one in rules if "state" in one}
        assert len(states) == 7 and states["NotScraped"] == "inactive"
    prometheus.until('ALERTS{alertname="NotScraped", alertstate="pending"}')
    assert prometheus.query("up")[0]["value"] == 0


BY_USER = """
import client from 'prom-client';
const register = new client.Registry();
const seen = new client.Counter({ name: 'seen_total', help: 'by user',
  labelNames: ['user'], registers: [register] });
export function createApp() { return answer; }
async function answer(req, res) {
  const { pathname, searchParams } = new URL(req.url, 'http://x');
  if (pathname === '/metrics') return res.end(await register.metrics());
  if (pathname === '/seen') seen.inc({ user: searchParams.get('user') });
  if (pathname === '/forget') seen.remove({ user: searchParams.get('user') });
  res.end();
}
"""


@pytest.mark.claim("observability/label-by-user")
def test_above_the_sample_limit_a_page_is_dropped_whole_and_up_is_0(
    prometheus_server, tmp_path
):
    (tmp_path / "node_modules").symlink_to(SNIPPETS / "node_modules")
    (tmp_path / "seen.mjs").write_text(BY_USER)
    with node.serve(tmp_path / "seen.mjs") as server, server.client() as c:
        for user in ("ann", "bob", "eve"):
            c.get("/seen", params={"user": user})
        prometheus = prometheus_server(f"{server.url}/metrics", sample_limit=3)
        assert len(prometheus.query("seen_total")) == 3  # as many are allowed
        for user in ("zoe", "ann"):
            c.get("/seen", params={"user": user})
        prometheus.until("up == 0")
        # the new one is not there, and the old ones are as they were before it came
        assert [one["value"] for one in prometheus.query("seen_total")] == [1, 1, 1]
        c.get("/forget", params={"user": "zoe"})
        prometheus.until("seen_total == 2")
        assert prometheus.query("up")[0]["value"] == 1


def test_the_compose_file_is_valid_and_what_it_mounts_is_there():
    bundled = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor"
    schema = json.loads((bundled / "compose-spec.json").read_text("utf-8"))
    composed = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
    jsonschema.validate(composed, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"orders": {"imgae": "node"}}}, schema)
    composed = composed["services"]
    for name, service in composed.items():
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for mount in service["volumes"]:
            source, _target, mode = mount.split(":")
            assert (HERE / source).exists(), mount
            assert mode == "ro"
    assert composed["orders"]["stop_grace_period"] == "20s"
    [scrape] = yaml.safe_load((HERE / "prometheus.yml").read_text())["scrape_configs"]
    [target] = scrape["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert composed[host]["environment"]["METRICS_PORT"] == int(port)
    provisioning = HERE / "grafana/provisioning"
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"].split("//")[1].split(":")[0] in composed
    dashboard = json.loads((HERE / "grafana/dashboard.json").read_text())
    used = {p["datasource"]["uid"] for p in dashboard["panels"] if p["type"] != "row"}
    assert used == {source["uid"]}
    [provider] = yaml.safe_load((provisioning / "dashboards/orders.yml").read_text())[
        "providers"
    ]
    path = provider["options"]["path"]
    assert any(f":{path}/" in mount for mount in composed["grafana"]["volumes"])


def test_the_container_tells_node_that_it_ends_and_not_the_shell_before_it(tmp_path):
    composed = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
    shell, flag, script = shlex.split(composed["services"]["orders"]["command"])
    packages, rest = script.split(" && ")
    assert packages == "npm ci --omit=dev"
    argv = ["/bin/sh", flag, f"true && {rest}"]  # Debian's, as in the image
    env = {**os.environ, "PORT": "0", "METRICS_PORT": "0", "DRAIN_MS": "0"}
    env["PATH"] = f"{Path(node.binary()).parent}:{env['PATH']}"
    assert shell == "sh"
    with (tmp_path / "out").open("wb") as out:
        child, token = process.start(argv, cwd=SNIPPETS, env=env, stdout=out)
        try:
            process.until(lambda: b"listening" in (tmp_path / "out").read_bytes())
            os.kill(child.pid, signal.SIGTERM)
            assert child.wait(10) == 0  # by itself, after its handler
        finally:
            process.end(child, token, grace=0)
