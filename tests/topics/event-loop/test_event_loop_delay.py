"""What a stall of the loop shows in: delay, utilisation, a profile, and connections."""

import contextlib
import json
import socket
import time

import pytest

from lab.run import node, process

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


@pytest.mark.claim(
    "event-loop/delay-sees-every-stall",
    verdict="wrong",
    counter=(
        "here",
        'WATCH % ""',
        'WATCH % "await sleep(100);"',
    ),
)
def test_a_stall_that_begins_right_after_a_reset_is_not_recorded():
    seen = json.loads(node.evaluate(WATCH % "").stdout)
    assert seen["stalled"]["max"] < 1000
    assert seen["stalled"]["utilization"] > 0.8  # which sees it all the same


@pytest.mark.claim(
    "event-loop/profile-names-the-blocker",
    verdict="right",
    counter=(
        "here",
        "simulate({{ runs: 3_000_000 }});",
        "for (let i = 0; i < 1e9; i += 1);",
    ),
)
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
