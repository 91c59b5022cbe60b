"""Errors: the four paths, who catches each, and what the client is told."""

import json
import socket

import httpx
import pytest

from lab.run import node, process

from .shared import asked, asking, told, until_closed


def api(kind: str, express: str = "express") -> str:
    """An app whose routes fail in every way, with one of the two error handlers."""
    suffix = {"naive": ".naive", "hardened": ""}[kind]
    return """
import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs';
import express from 'EXPRESS';
import { Failure } from '@/resilience/errors.mjs';
import { errorHandler, guarded } from '@/resilience/errorsSUFFIX.mjs';
const secret = () => { throw new Error('postgres://app:hunter2@db'); };
export function createApp() {
  const app = express();
  app.get('/health', (req, res) => res.json({ status: 'ok' }));
  app.get('/throws', () => secret());
  app.get('/rejects', async () => secret());
  app.get('/nothing', async () => Promise.reject(undefined));
  app.get('/callback', (req, res, next) => readFile('/no/such', next));
  app.get('/timer', (req, res, next) => {
    setTimeout(guarded(next, secret), 1);
  });
  app.get('/emitter', (req, res, next) => {
    const job = new EventEmitter();
    job.once('done', guarded(next, async () => secret()));
    setImmediate(() => job.emit('done'));
  });
  app.get('/begun', async (req, res) => { res.write('{"items":['); secret(); });
  app.get('/twice', (req, res, next) => {
    res.json({ ok: true });
    next(new Error('after the answer'));
  });
  app.get('/unknown', () => { throw new Failure(404, 'no such order'); });
  app.get('/caused', () => {
    throw new Failure(503, 'no answer from payments', { cause: new Error('ECONNRESET') });
  });
  app.get('/wish', () => { throw Object.assign(new Error('no'), { status: 200 }); });
  app.post('/parse', express.json(), (req, res) => res.json({}));
  app.use(errorHandler({ logger: {
    error: ({ error }, text) => console.log(JSON.stringify(
      { text, message: error?.message, cause: error?.cause?.message })),
  } }));
  return app;
}
""".replace("SUFFIX", suffix).replace("EXPRESS", express)


def logged(server) -> list[dict]:
    lines = server.output().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize(
    "path",
    ["/throws", "/rejects", "/nothing", "/callback", "/timer", "/emitter", "/wish"],
)
def test_each_path_of_an_error_is_one_500_without_details_and_one_line(app, path):
    with app(api("hardened")) as server, server.client() as client:
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
        assert len(logged(server)) == 1
        assert client.get("/health").status_code == 200


def test_what_was_foreseen_has_its_status_and_its_cause_is_for_the_log(app):
    with app(api("hardened")) as server, server.client() as client:
        answer = client.get("/unknown")
        assert (answer.status_code, answer.json()) == (404, {"error": "no such order"})
        assert logged(server) == []  # a client's mistake is not ours
        answer = client.get("/caused")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert answer.json() == {"error": "no answer from payments"}
        assert [line["cause"] for line in logged(server)] == ["ECONNRESET"]
        headers = {"Content-Type": "application/json"}
        assert client.post("/parse", content="{", headers=headers).status_code == 400


def test_the_naive_handler_leaks_the_stack_and_believes_any_status(app):
    with app(api("naive")) as server, server.client() as client:
        answer = client.get("/throws")
        assert "hunter2" in answer.text and "app.mjs" in answer.text
        assert client.get("/wish").status_code == 200


def test_the_naive_handler_leaves_a_client_waiting_that_has_got_headers(app):
    with app(api("naive")) as server:
        with server.client(timeout=1) as client, pytest.raises(httpx.ReadTimeout):
            client.get("/begun")
        assert logged(server) == []  # and nobody knows


def test_the_hardened_handler_closes_an_answer_that_cannot_be_finished(app):
    with app(api("hardened")) as server, server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/begun")  # cut, so nobody takes it for whole
        assert client.get("/twice").json() == {"ok": True}
        lines = process.until(lambda: len(found := logged(server)) == 2 and found)
        assert lines[1]["message"] == "after the answer"
        assert client.get("/health").status_code == 200


# --- what Express does by itself ------------------------------------------------------


@pytest.mark.claim("resilience/rejected-handler-is-swallowed", verdict="wrong")
@pytest.mark.parametrize(
    ("express", "policy", "outcome"),
    [
        ("express4", "", "ends"),
        ("express4", "process.on('unhandledRejection', () => {});", "hangs"),
        ("express", "", "500"),
        ("express", "process.on('unhandledRejection', () => {});", "500"),
    ],
)
def test_a_rejected_handler_by_version_and_policy(tmp_path, express, policy, outcome):
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    program = tmp_path / "app.mjs"
    program.write_text(f"""
    import {{ request }} from 'node:http';
    import express from '{express}';
    {policy}
    const app = express();
    app.get('/', async () => {{ throw new Error('lost'); }});
    app.get('/health', (req, res) => res.send('ok'));
    const server = app.listen(0, '127.0.0.1', () => {{
      const {{ port }} = server.address();
      const get = (path, done) => request({{ port, path, agent: false }}, done)
        .on('error', () => {{}}).end();
      let said = 'hangs';
      get('/', (answer) => {{ said = answer.statusCode; answer.resume(); }});
      setTimeout(() => get('/health', () => {{
        console.log(said);
        process.exit();
      }}), 200);
    }});
    """)
    # Express 4 has packages that use what is deprecated
    done = node.run(
        program, flags=("--no-deprecation",), code=1 if outcome == "ends" else 0
    )
    if outcome == "ends":
        assert "Error: lost" in done.stderr and done.stdout == ""
    else:
        assert done.stdout == f"{outcome}\n"


MISSED = """
import { EventEmitter } from 'node:events';
import { Readable } from 'node:stream';
import express from 'express';
export function createApp() {
  const app = express();
  const boom = () => { throw new Error('boom'); };
  app.get('/timer', () => { setTimeout(boom, 1); });
  app.get('/listener', () => {
    const job = new EventEmitter().once('done', boom);
    setImmediate(() => job.emit('done'));
  });
  app.get('/error-event', () => {
    const job = new EventEmitter();
    setImmediate(() => job.emit('error', new Error('boom')));
  });
  app.get('/floating', (req, res) => { (async () => boom())(); });
  app.get('/returned', () => (async () => boom())());
  app.get('/throws', boom);
  app.use((error, req, res, next) => res.status(500).json({ error: 'caught' }));
  return app;
}
"""


@pytest.mark.claim("resilience/express-5-catches-everything", verdict="wrong")
@pytest.mark.parametrize("path", ["/timer", "/listener", "/error-event", "/floating"])
def test_express_5_misses_what_is_thrown_after_the_handler_returned(app, path):
    with app(MISSED) as server, server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)
        process.until(lambda: not server.alive())
        assert "Error: boom" in server.output()
        server._process.returncode = 0  # it ended as it should have


@pytest.mark.claim("resilience/express-5-catches-everything", verdict="wrong")
@pytest.mark.parametrize("path", ["/throws", "/returned"])
def test_express_5_catches_a_throw_and_a_promise_that_is_returned(app, path):
    with app(MISSED) as server, server.client() as client:
        assert client.get(path).json() == {"error": "caught"}


def test_a_readable_that_is_piped_and_fails_leaves_the_answer_open_and_pipeline_ends_it(
    app,
):
    source = """
    import { Readable } from 'node:stream';
    import { pipeline } from 'node:stream/promises';
    import express from 'express';
    const broken = () => {
      const rows = new Readable({ read() {} });
      rows.push('row,');
      setTimeout(() => rows.destroy(new Error('lost the database')), 20);
      return rows;
    };
    export function createApp() {
      const app = express();
      app.get('/pipe', (req, res) => {
        broken().on('error', () => console.log('seen')).pipe(res);
      });
      app.get('/pipeline', async (req, res) => { await pipeline(broken(), res); });
      app.use((error, req, res, next) => res.headersSent ? res.destroy() : res.sendStatus(500));
      return app;
    }
    """
    with app(source) as server, asked(server, "/pipe") as left:
        with asked(server, "/pipeline") as ended:
            assert not until_closed(ended).endswith(b"0\r\n\r\n")  # ended, and not whole
        process.until(lambda: "seen" in server.output())
        left.settimeout(0.5)
        with pytest.raises(socket.timeout):
            until_closed(left)


# --- what the language does -----------------------------------------------------------


@pytest.mark.claim("resilience/throw-goes-to-the-error-event", verdict="wrong")
def test_a_throw_in_a_listener_goes_to_the_caller_of_emit_and_stops_the_rest():
    source = """
    import { EventEmitter } from 'node:events';
    const job = new EventEmitter();
    const said = [];
    job.on('error', () => said.push('error event'));
    job.on('done', () => { throw new Error('first'); });
    job.on('done', () => said.push('second listener'));
    try { job.emit('done'); } catch (error) { said.push(`caller: ${error.message}`); }
    console.log(JSON.stringify(said));
    """
    assert told(source) == ["caller: first"]


@pytest.mark.claim("resilience/capture-rejections", verdict="right")
@pytest.mark.parametrize("capture", ["true", "false"])
def test_an_async_listener_is_an_error_event_with_capture_and_else_the_end(capture):
    source = f"""
    import {{ EventEmitter }} from 'node:events';
    const job = new EventEmitter({{ captureRejections: {capture} }});
    job.on('error', (error) => console.log(`error event: ${{error.message}}`));
    job.on('done', async () => {{ throw new Error('async'); }});
    job.emit('done');
    """
    done = node.evaluate(source, code=0 if capture == "true" else 1)
    assert ("error event: async" in done.stdout) == (capture == "true")


@pytest.mark.claim("resilience/return-await-in-try", verdict="right")
def test_a_promise_that_is_returned_from_a_try_is_not_caught_there():
    source = """
    const fails = async () => { throw new Error('x'); };
    const bare = async () => { try { return fails(); } catch { return 'caught'; } };
    const awaited = async () => { try { return await fails(); } catch { return 'caught'; } };
    console.log(JSON.stringify([
      await bare().catch(() => 'escaped'), await awaited().catch(() => 'escaped')]));
    """
    assert told(source) == ["escaped", "caught"]


@pytest.mark.claim("resilience/promise-all-cancels", verdict="wrong")
def test_promise_all_rejects_and_the_others_go_on_unless_a_signal_stops_them():
    source = """
    import { setTimeout as sleep } from 'node:timers/promises';
    async function both(signal, stop) {
      let written = 0;
      const writes = async () => { await sleep(20, null, { signal }); written += 1; };
      const fails = async () => { throw new Error('x'); };
      await Promise.all([fails(), writes(), writes()]).catch(stop);
      await sleep(60);
      return written;
    }
    const stop = new AbortController();
    console.log(JSON.stringify([await both(undefined, () => {}),
      await both(stop.signal, () => stop.abort())]));
    """
    assert told(source) == [2, 0]


def test_for_each_waits_for_nobody_and_a_missing_await_escapes_its_try():
    source = """
    const said = [];
    process.on('unhandledRejection', (error) => said.push(`nobody: ${error.message}`));
    const save = async (n) => { await null; said.push(`saved ${n}`); };
    [1, 2].forEach(async (n) => save(n));
    said.push('all saved');
    const fails = async () => { throw new Error('lost'); };
    try { fails(); } catch { said.push('caught'); }
    await new Promise((resolve) => setTimeout(resolve, 10));
    for (const n of [3, 4]) await save(n);
    said.push('really');
    console.log(JSON.stringify(said));
    """
    assert told(source) == [
        "all saved", "saved 1", "saved 2", "nobody: lost", "saved 3", "saved 4", "really",
    ]  # fmt: skip


@pytest.mark.claim("resilience/errors-are-empty-in-json", verdict="right")
def test_an_error_in_json_is_an_empty_object_with_only_its_own_fields():
    source = """
    const error = new Error('no money', { cause: new Error('bank is away') });
    const known = Object.assign(new Error('gone'), { code: 'E_GONE' });
    console.log(JSON.stringify([error, known]));
    """
    assert told(source) == [{}, {"code": "E_GONE"}]


@pytest.mark.claim("resilience/domains-miss-promises", verdict="wrong")
def test_a_domain_catches_a_timer_and_a_rejection_and_gives_nothing_back():
    source = """
    import domain from 'node:domain';
    const said = [];
    process.on('unhandledRejection', () => said.push('unhandled'));
    const one = domain.create();
    one.on('error', (error) => said.push(`domain: ${error.message}`));
    let slots = 1;
    one.run(() => {
      setTimeout(() => { slots -= 1; throw new Error('held'); slots += 1; }, 20);
      setTimeout(() => { throw new Error('timer'); }, 1);
      Promise.reject(new Error('promise'));
      (async () => { await null; throw new Error('async function'); })();
    });
    setTimeout(() => console.log(JSON.stringify([...said, slots])), 50);
    """
    # the module itself is deprecated, in its documentation only
    said = ["domain: promise", "domain: async function", "domain: timer", "domain: held"]
    assert told(source) == [*said, 0]


def test_an_error_first_callback_that_throws_is_called_a_second_time_by_a_careless_caller():
    source = """
    const naive = async (callback) => {
      try { callback(null, 'value'); } catch (error) { callback(error); }
    };
    const careful = async (callback) => {
      let value;
      try { value = 'value'; } catch (error) { return callback(error); }
      return process.nextTick(callback, null, value);
    };
    let times = 0;
    await naive(() => { times += 1; if (times === 1) throw new Error('mine'); });
    const naively = times;
    process.on('uncaughtException', () => {});
    times = 0;
    await careful(() => { times += 1; if (times === 1) throw new Error('mine'); });
    setImmediate(() => console.log(JSON.stringify([naively, times])));
    """
    assert told(source) == [2, 1]


# --- the process ----------------------------------------------------------------------


@pytest.mark.claim("resilience/uncaught-handler-keeps-it-up", verdict="wrong")
def test_a_service_that_resumes_is_up_and_answers_nothing_after_its_slots_are_gone(app):
    source = """
    process.on('uncaughtException', (error) => console.log(`caught ${error.message}`));
    let free = 3; // of a pool
    const waiting = [];
    const take = async () => {
      if (free) free -= 1;
      else await new Promise((resolve) => waiting.push(resolve));
      return () => { const next = waiting.shift(); if (next) next(); else free += 1; };
    };
    export function createApp() {
      return async (req, res) => {
        if (req.url === '/livez') return res.end('ok');
        const release = await take();
        if (req.url === '/bug') { // between taking and giving back
          setImmediate(() => { const row = undefined; res.end(row.id); release(); });
          return;
        }
        release();
        res.end('answered');
      };
    }
    """
    with app(source) as server, server.client() as client:
        assert client.get("/").text == "answered"
        with asking(server, "/bug", 3):
            process.until(lambda: server.output().count("caught") == 3)
            with server.client(timeout=0.5) as hasty, pytest.raises(httpx.ReadTimeout):
                hasty.get("/")
            assert client.get("/livez").text == "ok" and server.alive()


@pytest.mark.claim("resilience/pending-promise-leaks", verdict="wrong")
def test_a_pending_promise_that_nobody_reaches_is_collected_with_its_closure():
    source = """
    const gc = globalThis.gc;
    const refs = [];
    for (let i = 0; i < 100; i += 1) {
      const held = { buffer: new Array(1000).fill(i) };
      refs.push(new WeakRef(held));
      (async () => { await new Promise(() => {}); return held; })();
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
    gc();
    console.log(refs.filter((one) => one.deref()).length);
    """
    assert int(with_gc(source)) == 0


@pytest.mark.claim("resilience/race-against-long-lived", verdict="right")
def test_each_race_against_a_long_lived_promise_leaves_something_on_it():
    source = """
    const gc = globalThis.gc;
    const closing = new Promise(() => {}); // lives as long as the process
    async function grown(race) {
      gc();
      const before = process.memoryUsage().heapUsed;
      for (let i = 0; i < 100_000; i += 1) await race(Promise.resolve(i));
      gc();
      return Math.round((process.memoryUsage().heapUsed - before) / 100_000);
    }
    const alone = await grown((one) => Promise.race([one]));
    const raced = await grown((one) => Promise.race([one, closing]));
    console.log(JSON.stringify([raced, alone]));
    closing.then(); // so that it lives until here
    """
    raced, alone = json.loads(with_gc(source))  # bytes a race
    assert raced > 100 and alone < 10


def test_a_race_against_a_long_lived_promise_keeps_every_result_before_node_26():
    source = """
    const gc = globalThis.gc;
    const closing = new Promise(() => {}); // lives as long as the process
    async function alive(race) {
      const refs = [];
      for (let i = 0; i < 100; i += 1) {
        const answer = { buffer: new Array(1000).fill(i) };
        refs.push(new WeakRef(answer));
        await race(Promise.resolve(answer));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
      gc();
      return refs.filter((one) => one.deref()).length;
    }
    console.log(JSON.stringify([
      await alive((one) => Promise.race([one, closing])),
      await alive((one) => one)]));
    """
    raced, alone = json.loads(with_gc(source))
    major = int(node.asked(str(node.binary()))["version"].split(".")[0])
    assert alone <= 1 and (raced >= 99 if major < 26 else raced <= 1)


def with_gc(source: str) -> str:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "gc.mjs"
        program.write_text(source)
        return node.run(program, flags=("--expose-gc",)).stdout
