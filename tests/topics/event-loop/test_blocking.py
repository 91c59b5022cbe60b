"""Handlers that compute: who waits, and how the hardened ones keep answering."""

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from lab.run import load, node, process

LOGIN = json.dumps({"email": "ann@shop.test", "password": "correct horse"}).encode()


def held_login(server) -> load.Held:
    return load.Held(f"{server.url}/login", "POST", LOGIN, "application/json")


def held_search(server) -> load.Held:
    return load.Held(f"{server.url}/search?q={'a' * 24}!")


def held_report(server) -> load.Held:
    return load.Held(f"{server.url}/report")


@pytest.mark.claim(
    "event-loop/async-means-non-blocking",
    verdict="wrong",
    counter=(
        "event-loop/report.naive.mjs",
        "event-loop/report.mjs",
    ),
)
@pytest.mark.parametrize(
    ("snippet", "attack"),
    [
        ("login.naive.mjs", held_login),
        ("report.naive.mjs", held_report),
        ("search.naive.mjs", held_search),
    ],
)
def test_an_async_handler_that_computes_stops_every_other_route(snippet, attack):
    with node.serve(f"event-loop/{snippet}") as server, server.client() as client:
        # one may have been in the same batch of events, ahead of the last byte
        assert load.answers_during(attack(server), client, "/health") <= 1


@pytest.fixture
def with_deps(tmp_path):
    """Writes a module that serves a snippet's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = "") -> Path:
        module = tmp_path / f"with-{snippet}"
        before = before.replace("./event-loop/", f"{node.SNIPPETS.as_uri()}/event-loop/")
        module.write_text(node.with_deps(f"event-loop/{snippet}", deps, before))
        return module

    return write


# no hash gets a thread before SIGUSR2
STUCK = """
import { stick } from './event-loop/stuck-pool.mjs';
process.on('SIGUSR2', stick(4));
"""


@pytest.fixture
def computes(tmp_path):
    """A worker whose task takes until `go()`, and says so with `started()`: how often."""
    go, starts = tmp_path / "go", tmp_path / "starts"
    worker = tmp_path / "computes.mjs"
    worker.write_text(
        "import { appendFileSync, existsSync } from 'node:fs';\n"
        f"export default () => {{ appendFileSync({str(starts)!r}, '.');\n"
        f"  while (!existsSync({str(go)!r})); return {{ pi: 3 }}; }};\n"
    )
    starts.touch()

    class Computes:
        deps = f"worker: '{worker.as_uri()}'"

        def go(self):
            go.touch()

        def started(self):
            return starts.stat().st_size

    return Computes()


def test_a_hash_on_the_pool_leaves_the_other_routes_alone(with_deps):
    module = with_deps("login.mjs", before=STUCK)
    with node.serve(module) as server, server.client() as client:
        held = held_login(server)
        held.release()
        for _ in range(10):
            assert client.get("/health").status_code == 200
        assert not held.answered()
        os.kill(server.pid, signal.SIGUSR2)
        assert held.answer()[0] == 401


def test_a_report_in_a_worker_leaves_the_other_routes_alone(with_deps, computes):
    module = with_deps("report.mjs", computes.deps)
    with node.serve(module) as server, server.client() as client:
        held = held_report(server)
        held.release()
        process.until(computes.started)
        for _ in range(10):
            assert client.get("/health").status_code == 200
        assert not held.answered()
        computes.go()
        assert held.answer() == (200, b'{"pi":3}')


def test_a_login_that_is_no_json_is_refused_and_printed_nowhere():
    headers = {"Content-Type": "application/json"}
    with node.serve("event-loop/login.mjs") as server, server.client() as client:
        answer = client.post("/login", content="hunter2", headers=headers)
        assert answer.status_code == 400
        assert "hunter2" not in answer.text + server.output()
        assert "SyntaxError" not in server.output()


def test_a_linear_pattern_refuses_what_froze_the_naive_one_and_keeps_what_it_took():
    honest = ("tea", "green tea 2", "tea ", "A1 b2 C3")
    refused = ("", " tea", "a  b", "tea!", "a" * 201, "a" * 199 + "!")
    with node.serve("event-loop/search.mjs") as server, server.client() as client:

        def search(q):
            return client.get("/search", params={"q": q}).status_code

        assert [search(q) for q in honest] == [200] * len(honest)
        assert [search(q) for q in refused] == [400] * len(refused)
        assert search(["tea", "coffee"]) == 400
        assert client.get("/search").status_code == 400
    with node.serve("event-loop/search.naive.mjs") as server, server.client() as client:
        codes = [client.get("/search", params={"q": q}).status_code for q in honest]
        assert codes == [200] * len(honest)


def test_a_full_worker_queue_is_answered_at_once_instead_of_piling_up(
    with_deps, computes
):
    module = with_deps("report.mjs", computes.deps)
    with node.serve(module) as server, server.client() as client:
        flood = [held_report(server) for _ in range(8)]
        client.get("/health")
        for held in flood:
            held.release()
        # one is computed and four wait: nothing ends before the rest is refused
        process.until(lambda: sum(held.answered() for held in flood) == 3)
        process.until(computes.started)
        computes.go()
        statuses = [held.answer()[0] for held in flood]
        assert sorted(statuses) == [200] * 5 + [503] * 3
    with node.serve("event-loop/report.mjs") as server, server.client() as client:
        assert client.get("/report").json()["pi"] == pytest.approx(3.1416, abs=0.05)


def test_a_report_that_nobody_waits_for_any_more_makes_room(with_deps, tmp_path):
    worker, starts = tmp_path / "first.mjs", tmp_path / "starts"
    starts.touch()
    worker.write_text(
        "import { appendFileSync, statSync } from 'node:fs';\n"
        f"export default () => {{ appendFileSync({str(starts)!r}, '.');\n"
        f"  while (statSync({str(starts)!r}).size === 1); return {{ pi: 3 }}; }};\n"
    )
    deps = f"worker: '{worker.as_uri()}', waiting: 0, patience: 600_000"
    with node.serve(with_deps("report.mjs", deps)) as server, server.client() as client:
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"GET /report HTTP/1.1\r\nHost: a\r\n\r\n")
            process.until(lambda: starts.stat().st_size == 1)
            assert client.get("/report").status_code == 503
        process.until(lambda: client.get("/report").status_code == 200)


# fails after its task, in a thread that is not put to sleep between two
FAILS_LATER = """
export default () => { setTimeout(() => { throw new Error('later'); }, 300); return 1; };
"""


def test_a_thread_that_fails_between_two_tasks_is_logged_and_ends_nothing(
    with_deps, tmp_path
):
    worker = tmp_path / "fails.mjs"
    worker.write_text(FAILS_LATER)
    log = "logger: { error: (fields, message) => console.log(fields.error.message, message) }"
    module = with_deps("report.mjs", f"worker: '{worker.as_uri()}', {log}")
    env = {"PISCINA_DISABLE_ATOMICS": "1"}
    with node.serve(module, env=env) as server, server.client() as client:
        assert client.get("/report").status_code == 200
        process.until(lambda: "later between two tasks" in server.output())
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("snippet", "deps"),
    [
        ("report.mjs", "threads: '2'"),
        ("report.mjs", "waiting: NaN"),
        ("report.mjs", "patience: 'long'"),
        ("report.mjs", "patience: 2 ** 31"),
        ("login.mjs", "N: '1024'"),
        ("login.mjs", "atOnce: '2'"),
        ("login.mjs", "atOnce: NaN"),
    ],
)
def test_a_bound_that_is_no_number_is_refused_when_the_app_is_made(
    with_deps, snippet, deps
):
    with (
        pytest.raises(
            node.NodeError, match=f"TypeError: {deps.partition(':')[0]}: not a"
        ),
        node.serve(with_deps(snippet, deps)),
    ):
        pass


QUEUE = """
import { Piscina } from 'piscina';

const filename = new URL('./event-loop/report.worker.mjs', import.meta.url).href;
for (const signal of [undefined, AbortSignal.timeout(60_000)]) {
  const pool = new Piscina({ filename, maxThreads: 1, maxQueue: 4 });
  const tasks = Array.from({ length: 20 }, () => pool.run({ runs: 1000 }, { signal }));
  const results = await Promise.allSettled(tasks);
  console.log(results.filter((result) => result.status === 'rejected').length);
  await pool.destroy();
}
process.exit(0);
"""


@pytest.mark.claim(
    "event-loop/max-queue-bounds",
    verdict="depends",
    counter=(
        "here",
        "AbortSignal.timeout(60_000)]",
        "undefined]",
    ),
)
def test_piscina_does_not_count_tasks_with_a_signal_towards_max_queue():
    refused, refused_with_a_signal = map(int, node.evaluate(QUEUE).stdout.split())
    assert refused >= 14
    assert refused_with_a_signal == 0


JUDGES = """
import safe from './_specimens/node_modules/safe-regex/index.js';
import { checkSync } from 'recheck';

process.env.RECHECK_BACKEND = 'pure';
const patterns = %s;
const judged = patterns.map((text) => [safe(text), checkSync(text, '').status]);
console.log(JSON.stringify(judged));
"""


def pattern_of(snippet: str) -> str:
    source = node.resolve(f"event-loop/{snippet}").read_text("utf-8")
    return re.search(r"WORDS = /(.*)/;", source)[1]


@pytest.mark.claim(
    "event-loop/safe-regex-protects",
    verdict="wrong",
    counter=(
        "event-loop/search.naive.mjs",
        "event-loop/search.mjs",
    ),
)
def test_safe_regex_is_wrong_both_ways_where_recheck_is_right():
    patterns = {
        "^(a|a)*$": [True, "vulnerable"],
        r"^(\w|_)+@x$": [True, "vulnerable"],
        r"\s+$": [True, "vulnerable"],
        pattern_of("search.naive.mjs"): [False, "vulnerable"],
        pattern_of("search.mjs"): [False, "safe"],
    }
    done = node.evaluate(JUDGES % json.dumps(list(patterns)), timeout=60)
    assert json.loads(done.stdout) == list(patterns.values())


def test_the_naive_login_hashes_the_whole_flood_and_the_hardened_sheds_it(with_deps):
    def flood(server, client):
        held = [held_login(server) for _ in range(6)]
        client.get("/health")
        for one in held:
            one.release()
        return held

    naive = with_deps("login.naive.mjs", "N: 2 ** 14")
    with node.serve(naive) as server, server.client() as client:
        assert [held.answer()[0] for held in flood(server, client)] == [401] * 6
    module = with_deps("login.mjs", "N: 2 ** 14", before=STUCK)
    with node.serve(module) as server, server.client() as client:
        held = flood(server, client)
        # two at once are to be hashed, the rest is told to come back
        process.until(lambda: sum(one.answered() for one in held) == 4)
        os.kill(server.pid, signal.SIGUSR2)
        assert sorted(one.answer()[0] for one in held) == [401] * 2 + [503] * 4
        again = held_login(server)
        again.release()
        assert again.answer()[0] == 401  # there is room again


SERVE_WITH_A_USER = """
import { scryptSync } from 'node:crypto';
import { createApp as create } from '%s';

export function createApp() {
  const salt = Buffer.alloc(16, 7);
  const options = { N: 2 ** 12, r: 8, p: 1 };
  const hash = scryptSync('correct horse', salt, 32, options);
  const users = new Map([['ann@shop.test', %s]]);
  return create({ users, N: 2 ** 12 });
}
"""


@pytest.mark.parametrize(
    ("snippet", "user"),
    [
        ("login.naive.mjs", "{ salt, hash }"),
        ("login.mjs", "{ salt, hash }"),
        ("login.mjs", "Promise.resolve({ salt, hash })"),  # as from a database
    ],
)
def test_login_tells_right_from_wrong_passwords(snippet, user, tmp_path):
    module = tmp_path / "with-user.mjs"
    target = node.resolve(f"event-loop/{snippet}").as_uri()
    module.write_text(SERVE_WITH_A_USER % (target, user))
    with node.serve(module) as server, server.client() as client:

        def login(**body):
            return client.post("/login", json=body).status_code

        assert login(email="ann@shop.test", password="correct horse") == 204
        assert login(email="ann@shop.test", password="wrong horse") == 401
        assert login(email="bob@shop.test", password="correct horse") == 401


@pytest.mark.parametrize("body", [{}, {"email": "a", "password": 7}, {"email": None}])
def test_login_refuses_a_body_that_is_not_text(body):
    with node.serve("event-loop/login.mjs") as server, server.client() as client:
        assert client.post("/login", json=body).status_code == 400
        assert client.post("/login").status_code == 400


def test_a_report_that_takes_too_long_is_given_up(with_deps, computes):
    module = with_deps("report.mjs", f"{computes.deps}, patience: 20")
    with node.serve(module) as server, server.client() as client:
        answer = client.get("/report")
        assert (answer.status_code, answer.json()) == (503, {"error": "not in time"})


def test_a_report_that_fails_is_an_error_and_not_called_late(with_deps, tmp_path):
    broken = tmp_path / "broken.mjs"
    broken.write_text("export default () => { throw new Error('no data'); };")
    module = with_deps("report.mjs", f"worker: '{broken.as_uri()}'")
    with node.serve(module) as server, server.client() as client:
        assert client.get("/report").status_code == 500
        assert client.get("/health").status_code == 200


def test_parsing_is_measured_for_each_size_that_is_asked_for():
    lines = [line.split() for line in node.lines("event-loop/parse.mjs", "1", "2")]
    assert [size for size, _ in lines] == ["1", "2"]
    assert all(float(milliseconds) > 0 for _, milliseconds in lines)


def test_a_buffer_is_copied_moved_or_shared():
    assert node.lines("event-loop/transfer.mjs") == [
        "copied: the sender still has 1024 bytes",
        "transferred: the sender has 0 bytes",
        "shared: the sender sees 7",
    ]
