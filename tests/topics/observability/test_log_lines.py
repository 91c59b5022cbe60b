"""One line, two libraries: errors, secrets, lines that a client wrote."""

import json
import re
import socket

import pytest

from lab import SNIPPETS
from lab.run import node, process

from .shared import HERE, TOPIC

# --- two libraries, one line --------------------------------------------------------


def test_pino_and_winston_print_the_same_line():
    printed = node.printed(
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
    printed = node.printed(
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
    printed = node.printed(
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
    printed = node.printed(
        ERRORS + f"for (const l of [createPino(), createWinston()]) l.{call};"
    )
    assert "4242" not in printed
    lines = [json.loads(line) for line in printed.splitlines()]
    assert len(lines) == 2
    for line in lines:
        [error] = (line[key] for key in ("err", "error", "reason") if key in line)
        assert error["type"] in ("Error", "object") and "    at file" in error["stack"]


def test_what_a_child_logger_is_given_for_all_its_lines_is_serialised_as_well():
    printed = node.printed(
        ERRORS
        + """
    const order = { id: 'ord_1', note: 'card 4242' };
    createPino().child({ err: away, order }).info('retried');
    """
    )
    assert "4242" not in printed
    assert json.loads(printed)["err"]["cause"]["code"] == "ECONNREFUSED"


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


@pytest.mark.claim("observability/a-library-escapes", verdict="depends")
def test_whether_winston_escapes_a_line_break_is_its_formats_choice():
    printed = node.printed(
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


@pytest.mark.claim("observability/redaction-hides-secrets", verdict="depends")
def test_redaction_hides_what_it_was_told_of_and_nothing_else(module):
    path = module("app.naive.mjs", f"orders, redact: {json.dumps(REDACT)}", QUOTING)
    hidden = {field for field, seen in leaks(path).items() if "log" not in seen}
    assert hidden == {"Authorization", "Cookie", "password"}


def test_a_heap_snapshot_contains_the_secrets_that_the_process_had(tmp_path):
    file = tmp_path / "heap"
    node.printed(
        f"""
    import {{ writeHeapSnapshot }} from 'node:v8';
    globalThis.session = {{ token: ['canary', process.pid].join('-') }};
    session.token = Buffer.from(session.token).toString();
    writeHeapSnapshot('{file}');
    """
    )
    assert '"canary-' in file.read_text()
