"""What docs/chapters/observability.md says, run."""

import base64
import contextlib
import gzip
import http.server
import json
import os
import secrets
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from lab import ROOT, SNIPPETS, node, process

TOPIC = "observability"
SOURCE = "tests/chapters/test_observability.py"
HERE = SNIPPETS / TOPIC
AGENTS = HERE / "agents"
TEST_AGENT = ROOT / "tests/tools/ddapm/.venv/bin/ddapm-test-agent"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PIPE = 65_536  # bytes that Linux keeps of a pipe that nobody reads


def javascript(source: str, timeout: float = 20) -> str:
    done = node.evaluate(source, timeout)
    assert done.code == 0, done.stderr
    return done.stdout


def until(condition, seconds: float = 10):
    """Waits for a condition, and gives what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(process.POLL)
    return found


def logged(server, count: int, message: str | None = None) -> list[dict]:
    """The first `count` lines that are JSON, once they are there: an answer may
    arrive before the line about it is written."""

    def lines():
        found = [json.loads(x) for x in server.output().splitlines() if x[:1] == "{"]
        found = [x for x in found if message in (None, x.get("msg"))]
        return found[:count] if len(found) >= count else None

    return until(lines)


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


# --- a request and its lines --------------------------------------------------------


def test_every_line_of_a_request_has_its_trace_also_where_no_request_is_passed():
    with node.serve(f"{TOPIC}/app.mjs") as server, server.client() as client:
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        order = {"items": [{"sku": "tea", "quantity": 1}], "note": "ring twice"}
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
    assert (nothing["route"], nothing["status"]) == ("unmatched", 404)
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


def test_the_trace_goes_on_to_the_next_service():
    seen = javascript(
        f"""
    import {{ inLogs, outgoing, traced }} from './observability/context.mjs';
    const req = {{ headers: {{ traceparent: '00-{TRACE}-{CALLER}-01' }} }};
    traced(req, {{}}, () => setTimeout(() => {{
      console.log(outgoing().traceparent, inLogs().span);
    }}, 1));
    console.log(Object.keys(outgoing()).length, Object.keys(inLogs()).length);
    """
    )
    outside, inside = seen.splitlines()
    header, span = inside.split()
    assert outside == "0 0"
    assert header == f"00-{TRACE}-{span}-01" and span != CALLER


# an insert goes on when a second one has come, so that two requests are under way
MEET = """
import { createPino } from '%s';
import * as context from '%s';
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


@pytest.mark.claim("observability/one-variable-is-enough")
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
            return client.post("/orders", json={"note": name}, headers=headers)

        with ThreadPoolExecutor(2) as pool:
            assert [a.status_code for a in pool.map(place, ids)] == [201, 201]
        lines = logged(server, 2, "order kept")
    assert sum(line["trace"] == ids[line["note"]] for line in lines) == right


# --- what is left of a thousand lines -------------------------------------------------


def kept(logger: str, death: str, tmp_path, lines: int = 1000) -> int:
    """Whole lines in the file of a logger whose process dies after `lines`."""
    file = tmp_path / secrets.token_hex(4)
    with file.open("wb") as out:
        to_file = logger.startswith("pino") or logger == "winston file"
        argv = [node.binary(), HERE / "deaths.mjs", logger, death, str(lines)]
        argv += [file] if to_file else []
        child, token = process.start(
            argv, cwd=SNIPPETS, stdout=out, stderr=subprocess.DEVNULL
        )
        try:
            assert process.wait(child, 20)
        finally:
            process.end(child, token, grace=0)
    whole = [json.loads(line) for line in file.read_text().splitlines()]
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


@pytest.mark.claim("observability/a-log-line-cannot-block")
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
        with httpx.Client(base_url=url, timeout=3) as client:
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


@pytest.mark.claim("observability/winston-cannot-be-flushed")
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
    """
    )
    assert done.signal == 9
    assert file.read_text().count("\n") <= 1


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
    """
    )
    assert (done.code, done.stdout) == (1, "stopped\n")


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
        until(lambda: server.output().count("searched") == 1)
        lines = server.output().splitlines()
    assert lines.count(FORGED) == forged
    if not forged:
        signin, search = (json.loads(line) for line in lines[-2:])
        assert signin["user"] == search["q"] == user


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
        until(lambda: server.output().count('"msg":"request') >= len(FIELDS))
        for field, seen in found.items():
            if canary(field) in server.output():
                seen.add("log")
            if canary(field) in metrics:
                seen.add("metric")
    return found


# the hardened app, with metrics beside it as a second listener would have them
MEASURED = (
    """
import express from '{}/express/index.js';
import {{ createMetrics }} from '{}';
const {{ measure, register }} = createMetrics();
""".format(SNIPPETS / "node_modules", (HERE / "metrics.mjs").as_uri())
    + QUOTING
)


@pytest.fixture
def hardened(module):
    path = module("app.mjs", "measure, orders", MEASURED)
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
    with node.serve(program, flags=flags, env=env, ready=60, grace=10) as server:
        with server.client(headers={"User-Agent": SECRET}) as client:
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
            url = f"/orders?token={SECRET}"
            assert client.post(url, json={}, headers=headers).status_code == 201
            assert client.get(f"/orders/{SECRET}").status_code == 404
    return collector.spans


@heavy
@pytest.mark.claim("observability/the-sdk-flushes")
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
    # and no machine, process or cloud was looked up
    assert set(placed["resource"]) == {
        *("service.name", "telemetry.sdk.language"),
        *("telemetry.sdk.name", "telemetry.sdk.version"),
    }


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

            until(answers, 60)
            yield url
        finally:
            process.end(child, token, grace=5)


@heavy
@pytest.mark.claim("observability/one-or-the-other")
def test_datadogs_tracer_sends_the_request_to_its_agent_and_its_ids_to_the_log(
    tmp_path,
):
    with datadog_agent(tmp_path) as url:
        env = {
            "DD_TRACE_AGENT_URL": url,
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
        }
        flags = ("--import", str(AGENTS / "datadog.mjs"))
        with node.serve(f"{TOPIC}/app.mjs", flags=flags, env=env, ready=60) as server:
            with server.client() as client:
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                client.post(f"/orders?q={SECRET}", json={}, headers=headers)
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
    metrics = [name["name"] for name, _ in data["metric_data"][3]]
    assert "WebTransaction/Expressjs/GET//orders/:id" in metrics
    assert any(m.startswith("Nodejs/Middleware/Expressjs/jsonParser") for m in metrics)
