"""Feeds and their log: bounds, forgetting, bad data."""

import pytest

from lab.run import node, process

from .shared import TOPIC

FAKE = f"""
import {{ EventEmitter }} from 'node:events';
import {{ createFeed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog }} from './{TOPIC}/log.mjs';
function fake(readyState = 1) {{
  const made = new EventEmitter();
  made.said = [];
  return Object.assign(made, {{ OPEN: 1, readyState, bufferedAmount: 0,
    send(text, done) {{ made.said.push(JSON.parse(text)); setImmediate(() => done?.()); }},
    close(code) {{ made.code = code; made.readyState = 3; made.emit('close'); }} }});
}}
const stop = new AbortController();
const {{ signal }} = stop;
"""


def test_a_feed_is_bounded_forgets_who_is_gone_and_ends():
    seen = node.evaluate(
        FAKE
        + """
    const log = memoryLog();
    let [reads, listening] = [0, 0];
    const { read, onAppend } = log;
    log.read = (...args) => read(...args, (reads += 1));
    log.onAppend = (ring) => {
      const forget = onAppend(ring);
      listening += 1;
      return () => (listening -= Number(forget()));
    };
    const feed = createFeed({ log, signal, most: 2, beatMs: 60_000 });
    await feed.follow(fake(3)); // closed while its session was looked up
    await log.append('a');
    console.log(reads);
    const [one, two, three] = [fake(), fake(), fake()];
    for (const socket of [one, two, three]) await feed.follow(socket);
    console.log(one.code, two.code, three.code);
    one.close(1000);
    await feed.follow((three.readyState = 1, three));
    console.log(three.readyState);
    stop.abort();
    const late = fake();
    await feed.follow(late);
    console.log(two.code, three.code, late.code, late.said.length, listening);
    const other = createFeed({ log, signal }); // made too late, and holds nothing
    await other.follow((late.readyState = 1, late));
    console.log(late.code, listening);
    """
    ).stdout
    assert seen.splitlines() == [
        "0",
        "undefined undefined 1013",  # try again later
        "1",
        "1012 1012 1012 0 0",
        "1012 0",
    ]


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_what_is_no_json_is_its_publishers_error_and_not_its_readers(kind, redis_server):
    seen = node.evaluate(
        FAKE
        + f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const log = '{kind}' === 'memory' ? memoryLog()
      : await redisLog({{ url: '{redis_server.url}', signal }});
    const feed = createFeed({{ log, signal }});
    const socket = fake();
    await feed.follow(socket);
    const loop = {{}};
    loop.loop = loop;
    for (const data of [1n, loop, undefined, () => 1]) {{
      await feed.publish(data).catch((error) => console.log(error.name));
    }}
    const order = {{ total: 1 }};
    await feed.publish(order);
    order.total = 2; // what was said was said
    while (socket.said.length < 2) await new Promise((go) => setTimeout(go, 5));
    const again = fake();
    await feed.follow(again, socket.said[0].id);
    console.log(JSON.stringify([...again.said, ...socket.said].map((m) => m.data)));
    console.log(socket.code);
    stop.abort();
    """
    ).stdout
    assert seen.splitlines() == [
        *["TypeError"] * 4,
        '[{"total":1},null,{"total":1}]',
        "undefined",
    ]


def test_a_log_that_cannot_be_made_leaves_nothing_behind(redis_server):
    """The program ends by itself: no connection is open, no timer runs."""
    redis_server.command("ACL", "SETUSER", "deaf", "on", "nopass", "~*", "+@all")
    redis_server.command("ACL", "SETUSER", "deaf", "-subscribe")
    url = redis_server.url.replace("//", "//deaf:x@")
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const logger = {{ error() {{}} }};
    for (const url of ['{url}', 'redis://127.0.0.1:1']) {{
      await redisLog({{ url, logger }}).catch(({{ message }}) => console.log(message));
    }}
    """
    ).stdout
    lines = seen.splitlines()
    assert lines[0].startswith("NOPERM")
    assert len(lines) == 2
    process.until(
        lambda: "name=deaf" not in str(redis_server.command("CLIENT", "LIST")),
        what="gone",
    )


def test_a_log_that_cannot_be_read_says_why(redis_server):
    redis_server.command("SET", "{feed}:events", "no list of events")
    seen = node.evaluate(
        f"""
    import {{ redisLog }} from './{TOPIC}/log.mjs';
    const {{ signal }} = Object.assign(globalThis, {{ stop: new AbortController() }}).stop;
    const log = await redisLog({{ url: '{redis_server.url}', signal }});
    await log.read(0, 9).catch((error) => console.log(error.message));
    stop.abort();
    """
    ).stdout
    assert seen.startswith("WRONGTYPE")


def test_a_feed_whose_log_fails_ends_the_socket_so_that_it_comes_back():
    seen = node.evaluate(
        f"""
    import {{ EventEmitter }} from 'node:events';
    import {{ createFeed }} from './{TOPIC}/feed.mjs';
    const stop = new AbortController();
    const log = {{ onAppend() {{}}, read: async () => {{ throw new Error('away'); }} }};
    const logger = {{ error: ({{ error }}, what) => console.log(what, error.message) }};
    const feed = createFeed({{ log, logger, signal: stop.signal }});
    const socket = Object.assign(new EventEmitter(), {{ OPEN: 1, readyState: 1,
      close(code) {{ socket.readyState = 3; socket.emit('close'); console.log(code); }} }});
    await feed.follow(socket);
    stop.abort();
    """
    ).stdout
    assert seen.split() == ["feed", "away", "1011"]
