"""Where memory is, what its limit bounds, and what streams do with a failure."""

import contextlib
import json
import resource
import signal
import socket

import psutil
import pytest

from lab.run import node, process

MB = 1024 * 1024

# --- memory -------------------------------------------------------------------------

HOLD = """
const held = [];
for (let i = 0; i < 300; i += 1) held.push(%s);
const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
console.log(JSON.stringify({ held: held.length, heapUsed, external, arrayBuffers, rss }));
"""


def limited(tmp_path, work: str, code: int | None):
    program = tmp_path / "hold.mjs"
    program.write_text(HOLD % work)
    return node.run(program, flags=("--max-old-space-size=64",), code=code, timeout=60)


@pytest.mark.claim(
    "event-loop/heap-limit-bounds-memory",
    verdict="wrong",
    counter=(
        "here",
        "Buffer.alloc(1024 * 1024, 1)",
        "'x'",
    ),
)
def test_buffers_are_outside_the_heap_and_its_limit(tmp_path):
    done = limited(tmp_path, "Buffer.alloc(1024 * 1024, 1)", code=0)
    used = json.loads(done.stdout)
    assert used["held"] == 300
    assert used["arrayBuffers"] >= 300 * MB <= used["rss"]
    assert used["external"] >= used["arrayBuffers"]
    assert used["heapUsed"] < 64 * MB


@pytest.mark.claim(
    "event-loop/heap-limit-bounds-memory",
    verdict="wrong",
    counter=(
        "here",
        "Array.from({ length: 16384 }, (_, n) => ({ n, i }))",
        "Buffer.alloc(1024)",
    ),
)
def test_objects_are_in_the_heap_and_its_limit_ends_the_process(tmp_path):
    objects = "Array.from({ length: 16384 }, (_, n) => ({ n, i }))"
    done = limited(tmp_path, objects, code=None)
    assert done.signal == signal.SIGABRT  # a shell says 134
    assert "JavaScript heap out of memory" in done.stderr and done.stdout == ""


CHURN = """
import { PerformanceObserver } from 'node:perf_hooks';
const alive = Array.from({ length: %s }, (_, n) => ({ n, next: { n } }));
let [collections, paused] = [0, 0];
new PerformanceObserver((list) => {
  for (const { detail, duration } of list.getEntries())
    if (detail.kind === 4) { // a collection of the whole heap
      collections += 1;
      paused += duration;
    }
}).observe({ entryTypes: ['gc'] });
const kept = [];
for (let i = 0; i < 3000; i += 1) {
  kept[i %% 40] = Array.from({ length: 2000 }, (_, n) => ({ n, i }));
  if (i %% 50 === 0) await new Promise(setImmediate);
}
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify([collections, paused, alive.length]));
"""


@pytest.mark.claim(
    "event-loop/leak-costs-only-memory",
    verdict="wrong",
    counter=(
        "here",
        "(1, 400_000)",
        "(1, 2)",
    ),
)
def test_the_same_garbage_costs_more_and_longer_pauses_when_much_is_alive(tmp_path):
    found = []
    for size in (1, 400_000):
        program = tmp_path / f"{size}.mjs"
        program.write_text(CHURN % size)
        flags = ("--max-old-space-size=80",)
        found.append(json.loads(node.run(program, flags=flags, timeout=120).stdout))
    (few, short, _), (many, long, _) = found
    assert many > 3 * few and long > 10 * short, found


# --- connections --------------------------------------------------------------------

SOCKETS = 2000


def accepted(pid: int) -> int:
    """How many connections a process holds."""
    found = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED for one in found)


@pytest.mark.claim("event-loop/thousands-of-connections", verdict="right")
def test_thousands_of_idle_connections_need_no_thread():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    try:
        with node.serve("event-loop/search.mjs") as server, server.client() as client:
            assert client.get("/health").status_code == 200
            before = psutil.Process(server.pid).num_threads()
            with contextlib.ExitStack() as sockets:
                for _ in range(SOCKETS):
                    address = ("127.0.0.1", server.port)
                    sockets.enter_context(socket.create_connection(address, timeout=20))
                process.until(lambda: accepted(server.pid) >= SOCKETS, 20, "accepted")
                assert client.get("/health").status_code == 200
                assert psutil.Process(server.pid).num_threads() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- streams ------------------------------------------------------------------------

STREAMS = """
import { Readable, Writable, getDefaultHighWaterMark } from 'node:stream';
import { pipeline } from 'node:stream/promises';
const nextTurn = () => new Promise(setImmediate);
const source = () => new Readable({ read() {} });
const sink = () => new Writable({ write(chunk, _, done) { done(); } });
"""


@pytest.mark.claim(
    "event-loop/pipe-cleans-up",
    verdict="wrong",
    counter=(
        "here",
        '"from.pipe(to)" if',
        '"pipeline(from, to).catch(() => {})" if',
    ),
)
@pytest.mark.parametrize("how", ["pipe", "pipeline"])
def test_pipe_leaves_the_other_end_open_and_pipeline_destroys_both(how):
    tied = "from.pipe(to)" if how == "pipe" else "pipeline(from, to).catch(() => {})"
    source = f"""
    const seen = [];
    for (const fails of ['from', 'to']) {{
      const [from, to] = [source(), sink()];
      for (const stream of [from, to]) stream.on('error', () => {{}});
      {tied};
      (fails === 'from' ? from : to).destroy(new Error('reset'));
      for (let i = 0; i < 5; i += 1) await nextTurn();
      seen.push((fails === 'from' ? to : from).destroyed);
    }}
    console.log(seen.join());
    """
    expected = "false,false\n" if how == "pipe" else "true,true\n"
    assert node.printed(STREAMS + source) == expected


@pytest.mark.claim(
    "event-loop/pipe-cleans-up",
    verdict="wrong",
    counter=(
        "here",
        "from.pipe(to);",
        "pipeline(from, to).catch(() => {});",
    ),
)
def test_an_error_does_not_travel_along_a_pipe():
    source = """
    const [from, to] = [source(), sink()];
    from.on('error', () => console.log('source'));
    to.on('error', () => console.log('destination'));
    from.pipe(to);
    from.destroy(new Error('reset'));
    """
    assert node.printed(STREAMS + source) == "source\n"


def test_the_default_high_water_marks():
    source = "console.log(getDefaultHighWaterMark(false), getDefaultHighWaterMark(true));"
    assert node.printed(STREAMS + source) == f"{64 * 1024} 16\n"
