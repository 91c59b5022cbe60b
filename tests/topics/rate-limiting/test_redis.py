"""Redis that is away, slow, read-only or failing over."""

import contextlib
import json
import time

import httpx
import pytest

from lab.run import node, process, services

from .shared import STORE, TOPIC, connected

# --- Redis is away ------------------------------------------------------------------


@pytest.fixture
def outage(redis_server):
    """Serves a limiter of five with one of the stores of outage.mjs."""

    @contextlib.contextmanager
    def serve(store: str):
        env = {"REDIS_URL": redis_server.url, "STORE": store}
        with node.serve(f"{TOPIC}/outage.mjs", env=env) as server:
            with server.client(timeout=3) as c:

                def ask():
                    return status(c)

                ask.output = server.output
                yield ask

    return serve


def status(c: httpx.Client) -> int | None:
    """None: no answer within the client's patience."""
    try:
        return c.get("/products").status_code
    except httpx.ReadTimeout:
        return None


def test_with_the_clients_defaults_requests_hang_while_redis_is_away(
    outage, redis_server
):
    with outage("defaults") as ask:
        assert [ask() for _ in range(6)] == [200] * 5 + [429]
        redis_server.stop()
        assert ask() is None  # though passOnStoreError is set


@pytest.mark.claim("rate-limiting/redis-down", verdict="depends")
@pytest.mark.parametrize(("store", "answer"), [("failing", 500), ("passing", 200)])
def test_a_store_that_fails_is_an_error_or_no_limit_at_all(
    outage, redis_server, store, answer
):
    with outage(store) as ask:
        assert [ask() for _ in range(6)] == [200] * 5 + [429]
        redis_server.stop()
        assert [ask() for _ in range(20)] == [answer] * 20


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_the_hardened_store_counts_locally_while_redis_is_away(outage, redis_server, how):
    with outage("fallback") as ask:
        assert [ask() for _ in range(6)] == [200] * 5 + [429]
        getattr(redis_server, how)()
        assert [ask() for _ in range(8)] == [200] * 5 + [429] * 3
        assert ask.output().count("counting limits here") == 1
        {"stop": redis_server.start, "pause": redis_server.resume}[how]()
        deadline = time.monotonic() + 20
        while redis_server.command("DBSIZE") == 0 and time.monotonic() < deadline:
            ask()
            time.sleep(0.1)
        assert redis_server.command("DBSIZE") == 1  # it counts there again


def test_a_store_that_was_made_before_redis_was_there_stays_broken(outage, redis_server):
    with outage("early") as ask:
        # the client is connected by now
        process.until(lambda: redis_server.command("CLIENT", "LIST").count("\n") > 1, 10)
        assert [ask() for _ in range(5)] == [500] * 5


def test_the_hardened_store_does_not_start_without_redis(outage, redis_server):
    redis_server.stop()
    with pytest.raises(node.NodeError, match="before it listened"):
        with outage("fallback"):
            pass


# --- the client of Redis --------------------------------------------------------------


FAILOVER = """
import { connect as tcp, createServer } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { stores } from './rate-limiting/shared.mjs';
const [before, after] = %s;
let primary = before; // where the address of Redis leads
const address = createServer((client) => {
  const server = tcp(primary, '127.0.0.1');
  client.pipe(server).pipe(client);
  client.on('error', () => server.destroy());
  server.on('error', () => client.destroy());
}).listen(0, '127.0.0.1');
await once(address, 'listening');
const stop = new AbortController();
const url = `redis://127.0.0.1:${address.address().port}`;
const logger = { error() {} };
const workers = [];
for (let i = 0; i < 2; i += 1) {
  const store = (await stores({ url, logger, signal: stop.signal }))('api');
  await store.init({ windowMs: 60_000 });
  workers.push(store);
}
async function count() {
  const hits = [];
  for (const store of workers) hits.push((await store.increment('ann')).totalHits);
  return hits;
}
console.log((await count()).join());
const [old, promoted] = [new Redis(before), new Redis(after)];
primary = after;
%s
let hits = await count();
console.log(hits.join()); // each alone
const there = async () => Number(await promoted.get('rl:api:ann'));
while (hits[1] !== hits[0] + 1 || hits[1] !== (await there())) {
  await sleep(50);
  hits = await count();
}
console.log('shared again');
stop.abort();
old.disconnect();
promoted.disconnect();
address.close();
"""


@pytest.mark.parametrize(
    "demoted",
    [
        # a failover: connections stay open, and lead to a replica
        "await old.replicaof('127.0.0.1', after);",
        # one that may not even read, since its primary does not answer
        (
            "await old.config('SET', 'replica-serve-stale-data', 'no');\n"
            "await old.replicaof('127.0.0.1', 1);"
        ),
    ],
    ids=["READONLY", "MASTERDOWN"],
)
def test_after_a_failover_limits_are_shared_again_without_a_restart(
    redis_server, demoted
):
    with services.redis() as promoted:
        ports = json.dumps([redis_server.port, promoted.port])
        seen = node.evaluate(FAILOVER % (ports, demoted)).stdout.splitlines()
    assert seen == ["1,2", "1,1", "shared again"]


def test_a_silent_redis_costs_a_deadline_then_its_connection_then_nothing(redis_server):
    seen = connected(
        redis_server,
        """
    const redis = await connect({ url, logger });
    process.kill(pid, 'SIGSTOP');
    console.log(await redis.incr('ann').catch(said));
    await new Promise((resolve) => redis.once('close', resolve)); // by us: Redis sleeps
    const refused = redis.incr('ann').catch((error) => `at once: ${error.name}`);
    console.log(await Promise.race([refused, new Promise(setImmediate)]));
    process.kill(pid, 'SIGCONT');
    await new Promise((resolve) => redis.once('ready', resolve));
    console.log(await redis.get('ann'));
    redis.disconnect();
    """,
    )
    assert seen == [
        "Command timed out",
        "at once: Error",
        "1",  # done once, late; it was not sent again
    ]


def test_a_wrong_password_for_redis_is_an_error_and_in_no_log(redis_server):
    redis_server.command("CONFIG", "SET", "requirepass", "the right one")
    seen = connected(
        redis_server,
        """
    const wrong = url.replace('//', '//:hunter2@');
    const error = await connect({ url: wrong, logger }).catch((reason) => reason);
    console.log(error.message.split(' ')[0]);
    const { inspect } = await import('node:util');
    console.log(lines.length, inspect([error, lines], { depth: 9 }).includes('hunter2'));
    """,
    )
    assert seen == ["WRONGPASS", "1 false"]


def test_what_redis_refuses_is_an_error_without_what_was_sent(redis_server):
    seen = connected(
        redis_server,
        """
    import { inspect } from 'node:util';
    const redis = await connect({ url, logger });
    await redis.set('session-of-ann', 'a text');
    const script = "return redis.call('INCR', KEYS[1])";
    for (const ask of [
      () => redis.incr('session-of-ann'),
      () => redis.call('INCR', 'session-of-ann'),
      () => redis.eval(script, 1, 'session-of-ann'),
    ]) {
      const error = await ask().catch((reason) => reason);
      const told = inspect(error, { depth: 9, showHidden: true });
      console.log(error.name, told.includes('session-of-ann'));
    }
    let unhandled; // who forgets to await still hears of it
    process.once('unhandledRejection', ({ name }) => (unhandled = name));
    redis.incr('session-of-ann');
    await redis.ping();
    await new Promise(setImmediate);
    console.log(unhandled);
    redis.disconnect();
    """,
    )
    assert seen == ["ReplyError false"] * 3 + ["ReplyError"]


def test_a_client_of_redis_needs_an_address_and_nobody_who_has_hung_up(redis_server):
    seen = connected(
        redis_server,
        """
    console.log(await connect({ logger }).catch(said));
    const signal = AbortSignal.abort(new Error('stopped before'));
    console.log(await connect({ url, signal, logger }).catch(said));
    const stop = new AbortController();
    const asked = connect({ url, signal: stop.signal, logger }).catch(said);
    stop.abort();
    console.log(await asked);
    """,  # and the program ends, so that no connection is left
    )
    assert seen == [
        "no url: ioredis would take localhost",
        "stopped before",
        "This operation was aborted",
    ]


def test_a_start_that_stalls_tries_again_and_not_for_ever(redis_server):
    seen = connected(
        redis_server,
        """
    let silent = true;
    process.kill(pid, 'SIGSTOP');
    const wake = { error: () => { if (silent) process.kill(pid, 'SIGCONT'); } };
    const redis = await connect({ url, logger: wake }); // wakes up at the first complaint
    console.log(await redis.ping());
    redis.disconnect();
    silent = false;
    process.kill(pid, 'SIGSTOP');
    console.log(await connect({ url, logger: wake }).catch(said));
    process.kill(pid, 'SIGCONT');
    """,
    )
    assert seen == [
        "PONG",
        "Socket timeout. Expecting data, but didn't receive any in 1000ms.",
    ]


def test_a_script_that_could_not_be_loaded_at_the_start_is_loaded_later(redis_server):
    seen = connected(
        redis_server,
        STORE
        + """
    process.kill(pid, 'SIGSTOP');
    console.log(await store.init({ windowMs: 60_000 }).catch(said));
    console.log((await store.increment('ann')).totalHits, 'here');
    process.kill(pid, 'SIGCONT');
    const { setTimeout: sleep } = await import('node:timers/promises');
    const redis = await connect({ url, logger });
    while (!(await redis.exists('rl:api:ann'))) {
      await store.increment('ann');
      await sleep(20);
    }
    console.log('shared');
    redis.disconnect();
    stop.abort();
    """,
    )
    assert seen == ["Command timed out", "1 here", "shared"]


def test_giving_back_a_count_that_is_gone_leaves_nothing_in_redis(redis_server):
    seen = connected(
        redis_server,
        STORE
        + """
    await store.init({ windowMs: 60_000 });
    for (let i = 0; i < 3; i += 1) await store.increment('ann');
    await store.decrement('ann');
    const redis = await connect({ url, logger });
    console.log(await redis.get('rl:api:ann'), await redis.pttl('rl:api:ann') > 0);
    await redis.flushall(); // as after a failover that has lost the last writes
    await store.decrement('ann');
    console.log(await redis.dbsize(), lines.length);
    await store.increment('ann');
    await store.resetKey('ann');
    console.log(await redis.dbsize(), lines.length);
    redis.disconnect();
    stop.abort();
    """,
    )
    assert seen == ["2 true", "0 0", "0 0"]
