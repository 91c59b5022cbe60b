"""Several workers and one feed: broadcast, replay, restart."""

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest

from lab.run import node, process

from .shared import TOPIC, client

# --- several processes, and coming back ---------------------------------------------


def room(**env: str):
    return node.serve(f"{TOPIC}/workers.mjs", env={"WORKERS": "2", **env}, grace=15)


def pid(url: str) -> str:
    return httpx.get(url, timeout=20).text


def spread(server, stack: contextlib.ExitStack, count: int) -> list:
    """Sockets that are connected to the workers in turn; each has said it is ready."""
    peers = [stack.enter_context(client(server.url, "/room")) for _ in range(count)]
    for peer in peers:
        assert json.loads(peer.recv(20))["type"] == "ready"
    return peers


def hear(peers: list, text: str) -> int:
    """How many hear what the first one says. Then the second one says something, so
    that whoever heard nothing before hears that: nobody waits for silence."""
    peers[0].send(text)
    assert json.loads(peers[0].recv(20))["data"] == text
    peers[1].send("and that")
    return 1 + [json.loads(peer.recv(20))["data"] for peer in peers[1:]].count(text)


@pytest.mark.claim("websockets/broadcast-reaches-all", verdict="depends")
def test_a_message_reaches_one_worker_without_a_bus_and_all_with_redis(redis_server):
    """With one worker and with four: the notebook."""
    reached = {}
    for name, env in {"none": {}, "redis": {"REDIS_URL": redis_server.url}}.items():
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(room(**env))
            peers = spread(server, stack, 8)
            reached[name] = hear(peers, "hello")
    assert reached == {"none": 4, "redis": 8}


FOLLOWER = """
import { follow } from '%s';
// a client that waits as long as the test wants, however busy the machine is
const later = setTimeout;
if (process.argv[4]) globalThis.setTimeout = (open, ms, ...args) => {
  if (ms !== 1234 || stop.signal.aborted) return later(open, ms, ...args);
  const alive = setInterval(() => {}, 1000);
  process.once('SIGUSR2', () => { clearInterval(alive); open(); });
  return console.log('away');
};
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const [base, spreadMs] = process.argv.slice(2);
await follow({
  url: (cursor) => `${base}${cursor ? `?after=${cursor}` : ''}`,
  onEvent: (data) => console.log(typeof data === 'object' ? data.data : data),
  onReset: () => console.log('reset'),
  signal: stop.signal, spreadMs: Number(spreadMs), delayMs: Number(spreadMs),
});
"""


@contextlib.contextmanager
def follower(
    folder: Path, url: str, snippet: str = "client.mjs", spread_ms: int = 300, *hold: str
):
    """Runs a chapter's client; yields a function that gives what it printed. With
    `hold`, a client that waits 1234 ms prints `away`, and waits for SIGUSR2 instead:
    the function's `come_back` sends it."""
    path, out = folder / "follower.mjs", folder / "follower.log"
    path.write_text(FOLLOWER % node.resolve(f"{TOPIC}/{snippet}").as_uri())
    with out.open("wb") as log:
        argv = [node.binary(), path, url.replace("http", "ws", 1), str(spread_ms), *hold]
        env = {}
        if folder_ := os.environ.get(node.COVERAGE):
            env["NODE_V8_COVERAGE"] = folder_
        child, token = process.start(argv, cwd=folder, stdout=log, stderr=log, env=env)
        try:

            def seen() -> list[str]:
                return out.read_text("utf-8").split()

            seen.come_back = lambda: child.send_signal(signal.SIGUSR2)
            yield seen
        finally:
            process.end(child, token, grace=10)


@pytest.mark.claim("websockets/every-message-arrives", verdict="depends")
def test_a_client_that_resumes_sees_every_message_once_through_a_rolling_restart(
    redis_server, tmp_path
):
    with room(REDIS_URL=redis_server.url) as server:
        before = {pid(server.url) for _ in range(6)}
        with follower(tmp_path, f"{server.url}/room") as seen:
            sent = 0

            def say(count: int) -> None:
                nonlocal sent
                for _ in range(count):
                    append(redis_server, str(sent))
                    sent += 1

            process.until(
                lambda: subscribers(redis_server) == 2, what="both workers listen"
            )
            say(1)
            process.until(lambda: seen() or say(1), what="it follows")
            os.kill(server.pid, signal.SIGHUP)
            before_it = sent
            # how many fit in depends on the machine; one has to
            process.until(lambda: "done" in server.output() or say(1), 60, "all are new")
            assert sent > before_it
            say(20)
            process.until(lambda: seen()[-1] == str(sent - 1), what="it has the last one")
            assert seen() == [str(n) for n in range(int(seen()[0]), sent)]
        assert before.isdisjoint({pid(server.url) for _ in range(6)})  # all are new


def append(redis, text: str) -> None:
    """As `append` in log.mjs, from another process."""
    source = node.resolve(f"{TOPIC}/log.mjs").read_text()
    script = re.search(r"const APPEND = `(.*?)`", source, re.DOTALL)[1]
    keys = ["{feed}:epoch", "{feed}:seq", "{feed}:events"]
    redis.command("EVAL", script, 3, *keys, "epoch", json.dumps(text), 1000)


def subscribers(redis) -> int:
    return redis.command("PUBSUB", "NUMSUB", "{feed}:events")[1]


@pytest.mark.claim("websockets/every-message-arrives", verdict="depends")
def test_the_naive_client_comes_back_and_has_missed_some(redis_server, tmp_path):
    with room(REDIS_URL=redis_server.url, WORKERS="1") as server:
        url = f"{server.url}/room"
        with follower(tmp_path, url, "client.naive.mjs", 1234, "hold") as seen:
            process.until(
                lambda: len(seen()) >= 1, what="it follows"
            )  # the ready, without data
            append(redis_server, "first")
            process.until(lambda: "first" in seen(), what="the first one")
            os.kill(server.pid, signal.SIGHUP)
            process.until(lambda: "away" in seen(), what="its worker is replaced")
            append(redis_server, "missed")
            returned = 0

            def is_back() -> bool:
                """It may meet the old worker once more, and then goes away again."""
                nonlocal returned
                if seen().count("away") > returned:
                    returned += 1
                    seen.come_back()
                return seen().count("undefined") == 2

            process.until(is_back, what="it is back")
            append(redis_server, "last")
            process.until(lambda: "last" in seen(), what="the last one")
            assert "missed" not in seen()


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_feed_replays_what_it_keeps_and_says_when_it_does_not(kind, redis_server):
    url = redis_server.url
    seen = node.evaluate(
        f"""
    import {{ createFeed }} from './{TOPIC}/feed.mjs';
    import {{ memoryLog, redisLog }} from './{TOPIC}/log.mjs';
    import {{ EventEmitter }} from 'node:events';
    const stop = new AbortController();
    const {{ signal }} = stop;
    const log = '{kind}' === 'memory' ? memoryLog({{ keep: 5 }})
      : await redisLog({{ url: '{url}', signal, keep: 5 }});
    const feed = createFeed({{ log, signal, batch: 2, beatMs: 50 }});
    function socket() {{
      const made = new EventEmitter();
      made.said = [];
      return Object.assign(made, {{ OPEN: 1, readyState: 1, bufferedAmount: 0,
        send(text, done) {{ made.said.push(JSON.parse(text)); setImmediate(() => done?.()); }},
        close() {{ made.readyState = 3; made.emit('close'); }} }});
    }}
    const tell = (s) => console.log(s.said.filter((m) => m.type !== 'beat').map((m) =>
      `${{m.type}} ${{m.id.split('.')[1]}} ${{m.data ?? ''}}`.trim()).join(', '));
    const until = async (so) => {{
      while (!so()) await new Promise((resolve) => setTimeout(resolve, 5));
    }};
    const one = socket();
    await feed.follow(one);
    for (const data of ['a', 'b', 'c']) await feed.publish(data);
    await until(() => one.said.some((m) => m.data === 'c'));
    tell(one);
    await until(() => one.said.some((m) => m.type === 'beat'));
    one.close();
    const {{ id }} = one.said.findLast((m) => m.type === 'event');
    for (const data of ['d', 'e', 'f']) await feed.publish(data);
    for (const cursor of [id, id.replace(/3$/, '1'), id.replace(/3$/, '0'),
      id.replace(/3$/, '9'), 'other.3', '🙂', null]) {{
      const two = socket();
      await feed.follow(two, cursor); // resolves when it has said what there was
      tell(two);
      two.close();
    }}
    stop.abort();
    """
    ).stdout
    assert seen.splitlines() == [
        "ready 0, event 1 a, event 2 b, event 3 c",
        "event 4 d, event 5 e, event 6 f",
        "event 2 b, event 3 c, event 4 d, event 5 e, event 6 f",
        "reset 6",  # 1 is gone
        "reset 6",  # never was
        "reset 6",  # of another log
        "reset 6",  # no cursor at all
        "ready 6",
    ]


def test_a_redis_that_lost_its_log_is_a_reset_and_then_it_goes_on(redis_server, tmp_path):
    with room(REDIS_URL=redis_server.url, WORKERS="1") as server:
        with follower(tmp_path, f"{server.url}/room") as seen:
            n = 0

            def follows(since: int) -> bool:
                nonlocal n
                n += 1  # it is told only what was said after it came
                append(redis_server, str(n))
                time.sleep(0.02)
                return any(text.isdigit() and int(text) > since for text in seen())

            process.until(lambda: follows(0), what="it follows")
            redis_server.stop()
            redis_server.start()
            # told on the same connection, or after it was closed with 1011
            process.until(lambda: "reset" in seen(), what="it was told")
            process.until(lambda: subscribers(redis_server) == 1, what="it listens again")
            before = n
            process.until(lambda: follows(before), what="it goes on")
            assert seen().count("reset") == 1


def test_a_ring_that_was_missed_is_made_up_for(redis_server):
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    import {{ Redis }} from 'ioredis';
    const stop = new AbortController();
    const log = await redisLog({{ url: '{redis_server.url}', signal: stop.signal,
      everyMs: 200 }});
    const other = new Redis('{redis_server.url}');
    const rung = new Promise((resolve) => log.onAppend(resolve));
    await other.multi().incr('{{feed}}:seq').zadd('{{feed}}:events', 1, '1 "quiet"').exec();
    await rung; // nobody published
    console.log(JSON.stringify((await log.read(0, 9)).rows));
    other.disconnect();
    stop.abort();
    """
    ).stdout
    assert json.loads(seen) == [{"seq": 1, "data": "quiet"}]
