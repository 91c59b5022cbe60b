"""In which order timers, immediates, ticks and promises run."""

import contextlib
import json
import socket
import time

import pytest

from lab.run import node, process


def position(lines: list[str], text: str) -> int:
    return next(i for i, line in enumerate(lines) if text in line)


@pytest.mark.claim("event-loop/next-tick-before-promises")
def test_next_tick_is_before_promises_in_commonjs_and_after_them_in_a_module(
    tmp_path,
):
    assert node.lines("event-loop/order.cjs") == [
        "main", "tick", "microtask", "promise", "timeout",
    ]  # fmt: skip
    assert node.lines("event-loop/order.mjs") == [
        "main", "microtask", "promise", "tick", "timeout",
    ]  # fmt: skip
    # a module that a script loads with require() is run like the script
    script = tmp_path / "script.cjs"
    script.write_text(f"require({str(node.resolve('event-loop/order.mjs'))!r});")
    required = node.run(script).stdout.split()
    assert required == ["main", "tick", "microtask", "promise", "timeout"]


def test_set_immediate_is_before_a_timer_inside_an_io_callback():
    lines = node.lines("event-loop/after-poll.mjs")
    assert position(lines, "setImmediate") < position(lines, "setTimeout")


def test_recursive_next_tick_and_microtasks_starve_a_timer_and_set_immediate_does_not():
    assert node.lines("event-loop/starvation.mjs") == [
        "setImmediate: the timer fired",
        "nextTick: the timer starved",
        "queueMicrotask: the timer starved",
    ]


# --- order and time ---------------------------------------------------------------


@pytest.mark.claim("event-loop/set-immediate-is-immediate")
def test_in_an_io_callback_set_immediate_is_first_every_time():
    for _ in range(20):
        lines = node.lines("event-loop/after-poll.mjs")
        assert position(lines, "setImmediate") < position(lines, "setTimeout")


def test_after_two_milliseconds_of_start_up_a_timer_is_first_from_the_main_module():
    assert {node.lines("event-loop/first.mjs", "2")[0] for _ in range(10)} == {
        "setTimeout 0"
    }


def test_parsing_is_measured_for_each_size_that_is_asked_for():
    lines = [line.split() for line in node.lines("event-loop/parse.mjs", "1", "2")]
    assert [size for size, _ in lines] == ["1", "2"]
    assert all(float(milliseconds) > 0 for _, milliseconds in lines)


def test_between_two_timer_callbacks_ticks_and_microtasks_are_drained():
    assert [line.strip() for line in node.lines("event-loop/drained.mjs")] == [
        "timer 1", "tick of timer 1", "microtask of timer 1", "timer 2",
    ]  # fmt: skip


def test_a_delay_beyond_31_bits_fires_at_once_and_warns():
    done = node.evaluate("setTimeout(() => console.log('fired'), 2 ** 31)")
    assert done.stdout == "fired\n"
    assert "TimeoutOverflowWarning" in done.stderr


WATCH = """
import { setTimeout as sleep } from 'node:timers/promises';
import { watchLoop } from './event-loop/watch.mjs';
const stop = new AbortController();
const read = watchLoop({ signal: stop.signal });
await sleep(300);
const quiet = read();
%s
const end = performance.now() + 1500;
while (performance.now() < end);
await sleep(30);
const stalled = read();
await sleep(300);
const after = read();
stop.abort();
console.log(JSON.stringify({ quiet, stalled, after }));
"""


def test_a_stalled_loop_shows_in_its_delay_and_its_utilisation():
    seen = json.loads(node.evaluate(WATCH % "await sleep(100);").stdout)
    assert seen["stalled"]["max"] > 1000 > seen["quiet"]["p99"]
    assert seen["stalled"]["utilization"] > 0.5 > seen["quiet"]["utilization"]
    assert seen["after"]["utilization"] < 0.5  # since the last reading


@pytest.mark.claim("event-loop/delay-sees-every-stall")
def test_a_stall_that_begins_right_after_a_reset_is_not_recorded():
    seen = json.loads(node.evaluate(WATCH % "").stdout)
    assert seen["stalled"]["max"] < 1000
    assert seen["stalled"]["utilization"] > 0.8  # which sees it all the same


def test_a_cpu_profile_names_the_function_that_blocks(tmp_path):
    flags = ("--cpu-prof", f"--cpu-prof-dir={tmp_path}")
    module = tmp_path / "busy.mjs"
    worker = node.resolve("event-loop/report.worker.mjs").as_uri()
    module.write_text(
        f"import {{ simulate }} from '{worker}';\nsimulate({{ runs: 3_000_000 }});"
    )
    node.run(module, flags=flags)
    (profile,) = tmp_path.glob("*.cpuprofile")
    nodes = json.loads(profile.read_text())["nodes"]
    busiest = max(nodes, key=lambda item: item.get("hitCount", 0))
    assert busiest["callFrame"]["functionName"] == "simulate"


STALLING = """
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';

let log = '';
const server = createServer(async (req, res) => {
  if (req.url === '/log') return res.end(log);
  if (req.url === '/stall') {
    console.log('stalls');
    while (!existsSync(process.env.GO));
    await nextTurn();
    return res.end();
  }
  log += 'r';
  return res.end();
});
server.on('connection', () => { log += 'c'; });
server.keepAliveTimeout = 200;
server.keepAliveTimeoutBuffer = 0;
process.once('SIGTERM', () => { server.close(); server.closeAllConnections(); });
server.listen(process.env.PORT, '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
"""

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def stalling(tmp_path):
    """Its stall ends when `GO` is there."""
    module, go = tmp_path / "stalling.mjs", tmp_path / "go"
    module.write_text(STALLING)
    with node.serve(module, env={"GO": str(go)}) as server:
        yield server, go


def test_after_a_stall_connections_are_accepted_one_a_turn(stalling):
    stalling, go = stalling
    address = ("127.0.0.1", stalling.port)
    with contextlib.ExitStack() as stack:
        stall = stack.enter_context(socket.create_connection(address))
        stall.sendall(GET % b"stall")
        # the loop stands still now; the kernel takes connections
        process.until(lambda: "stalls" in stalling.output())
        late = [stack.enter_context(socket.create_connection(address)) for _ in range(8)]
        for connection in late:
            connection.sendall(GET % b"x")
        go.touch()
        for connection in late:
            assert connection.recv(100)
        with stalling.client() as client:
            log = client.get("/log").text
    assert log.count("c") == 10 and log.count("r") == 8
    # had all been accepted in one turn, the first request would come after them
    assert "cccc" not in log


def test_a_stall_closes_an_idle_connection_that_has_its_next_request_waiting(stalling):
    stalling, go = stalling
    address = ("127.0.0.1", stalling.port)
    with (
        socket.create_connection(address) as idle,
        socket.create_connection(address) as other,
    ):
        idle.sendall(GET % b"x")
        assert b"200 OK" in idle.recv(1000)
        other.sendall(GET % b"stall")
        process.until(lambda: "stalls" in stalling.output())
        idle.sendall(GET % b"x")
        time.sleep(0.3)  # or longer: its keepAliveTimeout is over
        go.touch()
        try:
            answer = idle.recv(1000)
        except ConnectionResetError:
            answer = b""
        assert answer == b""
