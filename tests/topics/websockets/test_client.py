"""Clients that come back: backoff, cursors, giving up."""

import json

import pytest

from lab.run import node

from .shared import TOPIC


def test_the_client_waits_a_random_time_that_grows_and_starts_again_after_success():
    """Uses the real client against servers that refuse; only the dice are loaded."""
    seen = node.evaluate(
        f"""
    import {{ createServer }} from 'node:http';
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow }} from './{TOPIC}/client.mjs';
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const wss = new WebSocketServer({{ noServer: true }});
    const came = [];
    server.on('upgrade', (req, socket, head) => {{
      came.push(performance.now());
      if (came.length % 5) return socket.destroy(); // four times of five
      wss.handleUpgrade(req, socket, head, (ws) => {{
        ws.send('{{"type":"event","id":"e.7","data":1}}');
        ws.close();
      }});
    }});
    const stop = new AbortController();
    const asked = [];
    let tickets = 0;
    const url = async (cursor) => {{
      tickets += 1;
      if (tickets === 3) throw new Error('no ticket');
      asked.push(cursor);
      if (asked.length === 7) stop.abort();
      return `ws://127.0.0.1:${{server.address().port}}/`;
    }};
    const seen = [];
    await follow({{ url, signal: stop.signal, onEvent: (data, id) => seen.push(data, id),
      spreadMs: 40, maxMs: 200, random: () => 1 }});
    const gaps = came.slice(1).map((time, i) => time - came[i]);
    const least = [40, 80 + 160, 200, 200, 40]; // one attempt never came: no ticket
    console.log(gaps.every((gap, i) => gap >= least[i] - 3), gaps.length);
    console.log(seen.join(), asked.map(String).join());
    server.close();
    """
    ).stdout
    assert seen.splitlines() == [
        "true 5",
        "1,e.7 undefined,undefined,undefined,undefined,undefined,e.7,e.7",
    ]


def test_the_client_gives_up_a_connection_that_has_gone_quiet():
    seen = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow }} from './{TOPIC}/client.mjs';
    const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
    await once(wss, 'listening');
    const stop = new AbortController();
    let came = 0;
    wss.on('connection', (socket) => {{
      came += 1; // and says nothing
      if (came === 3) stop.abort();
    }});
    await follow({{ url: () => `ws://127.0.0.1:${{wss.address().port}}`,
      signal: stop.signal, onEvent() {{}}, spreadMs: 10, quietMs: 100 }});
    console.log(came);
    wss.clients.forEach((socket) => socket.terminate());
    wss.close();
    """
    ).stdout
    assert seen == "3\n"


FOLLOWED = f"""
import {{ once }} from 'node:events';
import {{ setTimeout as sleep }} from 'node:timers/promises';
import {{ WebSocketServer }} from 'ws';
import {{ createFeed }} from './{TOPIC}/feed.mjs';
import {{ memoryLog }} from './{TOPIC}/log.mjs';
import {{ follow }} from './{TOPIC}/client.mjs';
const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
await once(wss, 'listening');
const over = new AbortController();
const feed = createFeed({{ log: memoryLog({{ epoch: 'e' }}), signal: over.signal }});
const address = `ws://127.0.0.1:${{wss.address().port}}/?after=`;
const cursors = [];
wss.on('connection', (socket, {{ url }}) => {{
  cursors.push(url.split('=')[1]);
  feed.follow(socket, url.split('=')[1]);
}});
const stop = new AbortController();
const failed = [];
const options = {{ signal: stop.signal, spreadMs: 20, maxMs: 20, url: (cursor) =>
  address + (cursor ?? 'e.0'), logger: {{ error: ({{ error }}) => failed.push(error.message) }} }};
const until = async (so) => {{ while (!so()) await sleep(5); }};
const end = () => {{ stop.abort(); over.abort(); wss.close();
  wss.clients.forEach((socket) => socket.terminate()); }};
"""


@pytest.mark.parametrize("how", ["throws", "rejects", "hangs"])
def test_an_event_that_was_not_dealt_with_comes_again(how):
    """The cursor moves when the handler has succeeded, so nothing is lost; what had
    been done before the failure is done twice."""
    act = {
        "throws": "(data) => { attempt(data); }",
        "rejects": "async (data) => { await sleep(1); attempt(data); }",
        "hangs": "async (data) => { if (attempt(data, 1)) await new Promise(() => {}); }",
    }[how]
    seen = node.evaluate(
        FOLLOWED
        + f"""
    const seen = [];
    function attempt(data, hang) {{
      seen.push(data);
      if (data !== 2 || seen.filter((one) => one === 2).length > 2) return false;
      if (hang) return true;
      throw new Error('disk full');
    }}
    const done = follow({{ ...options, onEvent: {act},
      quietMs: '{how}' === 'hangs' ? 300 : 60_000 }});
    for (const n of [1, 2, 3]) await feed.publish(n);
    await until(() => seen.includes(3));
    console.log(seen.join(), cursors.slice(0, 3).join());
    console.log(failed.join());
    end();
    await done;
    """
    ).stdout
    why = "took more than 300 ms" if how == "hangs" else "disk full"
    assert seen.splitlines() == ["1,2,2,2,3 e.0,e.1,e.1", f"{why},{why}"]


def test_events_are_dealt_with_one_after_the_other():
    seen = node.evaluate(
        FOLLOWED
        + """
    const seen = [];
    let [now, most] = [0, 0];
    const onEvent = async (data) => {
      most = Math.max(most, (now += 1));
      await sleep(20 - 5 * data);
      seen.push(data);
      now -= 1;
    };
    for (const n of [1, 2, 3]) await feed.publish(n);
    const done = follow({ ...options, onEvent });
    await until(() => seen.length === 3);
    console.log(seen.join(), most);
    end();
    await done;
    """
    ).stdout
    assert seen == "1,2,3 1\n"


def test_a_client_that_is_slower_than_its_feed_leaves_the_rest_in_the_log():
    """Nothing pushes back in a browser: what is not handled waits in memory."""
    seen = node.evaluate(
        FOLLOWED
        + """
    const seen = [];
    let go;
    const gate = new Promise((resolve) => (go = resolve));
    for (let n = 0; n < 50; n += 1) await feed.publish(n);
    const done = follow({ ...options, most: 10,
      onEvent: async (n) => { await gate; seen.push(n); } });
    await until(() => wss.clients.size === 0 && cursors.length === 1);
    go();
    await until(() => seen.length === 50);
    console.log(seen.every((n, i) => n === i), cursors.slice(0, 2).join());
    end();
    await done;
    """
    ).stdout
    assert seen.split()[0] == "true"
    assert seen.split()[1] == "e.0,e.10"


def test_what_is_no_event_is_a_reason_to_come_back_and_none_to_end():
    seen = node.evaluate(
        FOLLOWED
        + """
    wss.removeAllListeners('connection');
    const bad = ['not json', 'null', Buffer.from('{}'), '[]'];
    let came = 0;
    wss.on('connection', (socket) => {
      if (came < bad.length) socket.send(bad[came]);
      else socket.send('{"type":"event","id":"e.1","data":"good"}');
      came += 1;
    });
    const done = follow({ ...options, quietMs: 500, onEvent(data) {
      console.log(data, failed.length);
      end();
    } });
    await done;
    """
    ).stdout
    assert seen == "good 3\n"  # a list is an event without a type: nothing to do


@pytest.mark.parametrize("what", ["url", "onEvent", "handshake"])
def test_a_client_ends_when_it_is_told_to_whatever_hangs(what):
    seen = node.evaluate(
        FOLLOWED
        + f"""
    import {{ createServer }} from 'node:net';
    const silent = createServer(() => asked()).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const hang = () => new Promise(asked);
    let asked;
    const reached = new Promise((resolve) => (asked = resolve));
    await feed.publish(1);
    const done = follow({{ ...options, onEvent() {{}}, ...{{ url: {{ url: hang }},
      onEvent: {{ onEvent: hang }},
      handshake: {{ url: () => `ws://127.0.0.1:${{silent.address().port}}` }},
    }}['{what}'] }});
    await reached;
    end();
    await done;
    console.log('ended', failed.length);
    process.exit(); // Node's own attempt to connect cannot be ended
    """
    ).stdout
    assert seen == "ended 0\n"


def test_a_url_that_never_comes_is_asked_for_again():
    seen = node.evaluate(
        FOLLOWED
        + """
    let asked = 0;
    const done = follow({ ...options, quietMs: 100, onEvent(data) {
      console.log(data, failed.join());
      end();
    }, url: (cursor) => {
      asked += 1;
      return asked < 3 ? new Promise(() => {}) : options.url(cursor);
    } });
    await feed.publish(1);
    await done;
    """
    ).stdout
    assert seen == "1 took more than 100 ms,took more than 100 ms\n"


@pytest.mark.claim("websockets/reconnect-at-once", verdict="wrong")
def test_a_crowd_without_jitter_comes_back_at_once_and_with_jitter_over_the_spread():
    """By what each client decides to wait, which no busy machine changes; when they
    came is the notebook's."""
    seen = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ WebSocketServer }} from 'ws';
    import {{ follow as jitter }} from './{TOPIC}/client.mjs';
    import {{ follow as naive }} from './{TOPIC}/client.naive.mjs';
    const wss = new WebSocketServer({{ port: 0, host: '127.0.0.1' }});
    await once(wss, 'listening');
    const url = () => `ws://127.0.0.1:${{wss.address().port}}`;
    const waits = {{ naive: [], jitter: [] }};
    const later = setTimeout;
    globalThis.setTimeout = (back, ms, ...args) => {{
      if (back.name !== 'open') return later(back, ms, ...args);
      waits.naive.push(ms);
      return later(back, 0); // back at once, so that nobody waits for the test
    }};
    const random = () => {{
      waits.jitter.push(600_000 * Math.random());
      return 0;
    }};
    for (const [name, follow] of Object.entries({{ naive, jitter }})) {{
      const stop = new AbortController();
      let came = 0;
      const all = new Promise((resolve) => wss.on('connection', (socket) => {{
        came += 1;
        if (came <= 100) socket.close(1012); // the restart
        if (came === 200) resolve();
      }}));
      for (let i = 0; i < 100; i += 1) follow({{ url, signal: stop.signal, onEvent() {{}},
        delayMs: 300_000, spreadMs: 600_000, random }});
      await all;
      wss.removeAllListeners('connection');
      stop.abort();
    }}
    wss.clients.forEach((socket) => socket.terminate());
    wss.close();
    console.log(JSON.stringify(waits));
    process.exit();
    """
    ).stdout
    waits = json.loads(seen)
    # the first one of each; some were ended when the crowd had come, and wait again
    most = {name: crowd(at[:100], 75_000) for name, at in waits.items()}
    assert most["naive"] == 100
    assert most["jitter"] < 50


def test_the_storm_is_one_of_all_clients_and_none_comes_before_its_time():
    times = json.loads("".join(node.lines("websockets/storm.mjs", "100", "800")))
    assert [len(at) for at in times.values()] == [100, 100]
    assert min(times["naive"]) >= 399  # ms: nobody before its half a spread
    assert max(times["jitter"]) >= 400  # or a hundred dice were all below a half


def crowd(times: list[float], within: float) -> int:
    """The most that came within any `within` ms."""
    return max(sum(start <= at < start + within for at in times) for start in times)
