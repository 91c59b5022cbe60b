"""What docs/chapters/event-loop.md says, run."""

import json

import pytest

from lab import load, node

LOGIN = json.dumps({"email": "ann@shop.test", "password": "correct horse"}).encode()


def output(snippet: str, *args: str, **env: str) -> list[str]:
    return node.run(snippet, *args, env=env).stdout.splitlines()


def position(lines: list[str], text: str) -> int:
    return next(i for i, line in enumerate(lines) if text in line)


@pytest.mark.claim("event-loop/next-tick-before-promises")
def test_next_tick_is_before_promises_in_commonjs_and_after_them_in_a_module():
    assert output("event-loop/order.cjs") == [
        "main", "tick", "microtask", "promise", "timeout",
    ]  # fmt: skip
    assert output("event-loop/order.mjs") == [
        "main", "microtask", "promise", "tick", "timeout",
    ]  # fmt: skip


def test_set_immediate_is_before_a_timer_inside_an_io_callback():
    lines = output("event-loop/after-poll.mjs")
    assert position(lines, "setImmediate") < position(lines, "setTimeout")


def test_recursive_next_tick_and_microtasks_starve_a_timer_and_set_immediate_does_not():
    assert output("event-loop/starvation.mjs") == [
        "setImmediate: the timer fired",
        "nextTick: the timer starved",
        "queueMicrotask: the timer starved",
    ]


@pytest.mark.claim("event-loop/io-on-background-threads")
@pytest.mark.parametrize("size", [1, 2, 4])
def test_sockets_answer_while_files_wait_for_a_pool_thread(size):
    pool = {"UV_THREADPOOL_SIZE": str(size)}
    full = output("event-loop/pool-limit.mjs", str(size), **pool)
    assert full[-1] == "fs.stat: still waiting after 500 HTTP answers"
    one_left = output("event-loop/pool-limit.mjs", str(size - 1), **pool)
    assert one_left[-1] == "fs.stat: finished"


@pytest.mark.claim("event-loop/async-means-non-blocking")
def test_an_async_handler_that_computes_stops_every_other_route():
    with node.serve("event-loop/login.naive.mjs") as server, server.client() as client:
        held = load.Held(f"{server.url}/login", LOGIN, "application/json")
        # one may have been in the same batch of events, ahead of the last byte
        assert load.answers_during(held, client, "/health") <= 1


def test_a_handler_that_hashes_on_the_pool_leaves_the_other_routes_alone():
    with node.serve("event-loop/login.mjs") as server, server.client() as client:
        held = load.Held(f"{server.url}/login", LOGIN, "application/json")
        assert load.answers_during(held, client, "/health") > 5


def test_the_naive_login_stays_silent_for_the_whole_flood_and_the_hardened_sheds_it():
    answers = {}
    for snippet in ("event-loop/login.naive.mjs", "event-loop/login.mjs"):
        with node.serve(snippet) as server, server.client() as client:
            flood = [
                load.Held(f"{server.url}/login", LOGIN, "application/json")
                for _ in range(6)
            ]
            client.get("/health")
            for held in flood:
                held.release()
            assert client.get("/health").status_code == 200
            answers[snippet] = sorted(held.answer()[0] for held in flood)
    assert answers["event-loop/login.naive.mjs"] == [401] * 6
    # two at once are hashed, the rest is told to come back
    assert answers["event-loop/login.mjs"] == [401] * 2 + [503] * 4


SERVE_WITH_A_USER = """
import { scryptSync } from 'node:crypto';
import { createApp as create } from '%s';

export function createApp() {
  const salt = Buffer.alloc(16, 7);
  const options = { N: 2 ** 12, r: 8, p: 1 };
  const hash = scryptSync('correct horse', salt, 32, options);
  const users = new Map([['ann@shop.test', { salt, hash }]]);
  return create({ users, N: 2 ** 12 });
}
"""


@pytest.mark.parametrize("snippet", ["login.naive.mjs", "login.mjs"])
def test_login_tells_right_from_wrong_passwords(snippet, tmp_path):
    module = tmp_path / "with-user.mjs"
    target = node.resolve(f"event-loop/{snippet}").as_uri()
    module.write_text(SERVE_WITH_A_USER % target)
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
