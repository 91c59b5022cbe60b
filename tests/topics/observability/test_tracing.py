"""Traces by OpenTelemetry and by the vendors' agents."""

import base64
import contextlib
import gzip
import http.server
import itertools
import json
import os
import signal
import socket
import threading

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from lab import ROOT
from lab.run import node, process

from .shared import CALLER, HERE, INSIDE, ORDER, TOPIC, TRACE, logged

AGENTS = HERE / "agents"

TEST_AGENT = ROOT / "tests/tools/ddapm/.venv/bin/ddapm-test-agent"


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
@pytest.mark.claim("observability/first-line-of-main", verdict="wrong")
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
@pytest.mark.claim("observability/one-or-the-other", verdict="wrong")
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
@pytest.mark.claim("observability/one-or-the-other", verdict="wrong")
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
