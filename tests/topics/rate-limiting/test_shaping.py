"""Buckets, queues, leases and pauses: what else bounds a rate."""

import json
import textwrap

import pytest

from lab.run import node

from .shared import TOPIC

HEAD = """
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from './rate-limiting/connect.mjs';
import { createBucket } from './rate-limiting/bucket.mjs';
import { createSharedBucket } from './rate-limiting/shared-bucket.mjs';
import { createShaper } from './rate-limiting/shaper.mjs';
import { createLeases } from './rate-limiting/leases.mjs';
import { createSlowdown } from './rate-limiting/slowdown.mjs';
import { tokenBucket } from './rate-limiting/algorithms.mjs';
const alive = setInterval(() => {}, 1000); // a deadline's timer keeps no process
const say = (...values) => console.log(JSON.stringify(values));
const logger = { error: ({ error }, text) => say(text, error.name) };
const patient = { logger, patienceMs: 5000 };
"""


def printed(lines: str, timeout: float = 30) -> list:
    """What the lines say, one list for each `say()`."""
    done = node.evaluate(f"{HEAD}{lines}\nclearInterval(alive);", timeout=timeout)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def with_redis(redis_server):
    """The same, with `redis` connected to a Redis of its own."""

    def run(lines: str) -> list:
        redis_server.command("FLUSHALL")
        return printed(
            f"const url = {redis_server.url!r};\n"
            "const redis = await connect({ url, ...patient });\n"
            f"try {{\n{lines}\n}} finally {{ redis.disconnect(); }}"
        )

    return run


# --- token bucket ----------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/bucket-needs-no-timer", verdict="right")
def test_a_bucket_of_ten_thousand_keys_keeps_no_timer_and_says_how_long_to_wait():
    said = printed("""
      let at = 0;
      const { take } = createBucket({ capacity: 2, perSecond: 4, now: () => at });
      const timers = () =>
        process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
      const before = timers();
      for (let n = 0; n < 10_000; n += 1) take(n);
      say(timers() - before);
      say(take('a'), take('a'), take('a'), take('a', 2));
      at += 250; // one token more
      say(take('a'), take('a'));
      at += 1e9;
      say(take('a', 2), take('a', 3));
    """)
    refused = {"allowed": False, "waitMs": 250}
    allowed = {"allowed": True, "waitMs": 0}
    assert said == [
        [0],
        [allowed, allowed, refused, {"allowed": False, "waitMs": 500}],
        [allowed, refused],
        [allowed, {"allowed": False, "waitMs": None}],  # Infinity, in JSON
    ]


@pytest.mark.claim("rate-limiting/wall-clock-will-do", verdict="wrong")
def test_a_clock_that_is_set_back_locks_a_client_out_and_the_process_clock_does_not():
    said = printed("""
      let wall = 1e9;
      const now = () => wall;
      const bucket = tokenBucket({ limit: 10, windowMs: 1000, now });
      say(bucket('a'));
      wall -= 3_600_000; // by the time service, or by hand
      say(bucket('a'));
      wall += 60_000;
      say(bucket('a'));
      const RealDate = Date;
      Date.now = () => RealDate.prototype.getTime.call(new RealDate()) - 3_600_000;
      const steady = createBucket({ capacity: 2, perSecond: 10 });
      say(steady.take('a').allowed);
      Date.now = () => 0;
      say(steady.take('a').allowed);
    """)
    assert said == [[True], [False], [False], [True], [True]]


def test_a_bucket_keeps_no_more_keys_than_told_and_forgets_only_those_that_are_full():
    said = printed("""
      let at = 0;
      const { take } = createBucket({ capacity: 1, perSecond: 1, most: 2, now: () => at });
      say(...['a', 'b', 'c', 'd', 'a'].map((key) => take(key).allowed));
      at += 1000; // all are full again
      say(...['c', 'd', 'a'].map((key) => take(key).allowed));
    """)
    # c and d share the last place, and a keeps its own
    assert said == [[True, True, True, False, False], [True, True, True]]


@pytest.mark.claim("rate-limiting/cost-is-known-before", verdict="wrong")
def test_a_cost_that_was_underestimated_is_a_debt_that_is_waited_for():
    said = printed("""
      let at = 0;
      const { take, settle } = createBucket({ capacity: 10, perSecond: 1, now: () => at });
      say(take('a', 1));
      settle('a', 1, 50); // it took 50
      say(take('a', 1));
      at += 41_000;
      say(take('a', 1).allowed);
      settle('a', 50, 0); // and never more than full
      say(take('a', 10).allowed, take('a', 1).allowed);
    """)
    assert said[1] == [{"allowed": False, "waitMs": 41000}]
    assert said[2:] == [[True], [True, False]] and said[0][0]["allowed"]


@pytest.mark.parametrize(
    "wrong", ["createBucket({ capacity: '5', perSecond: 1 })", "createBucket({ capacity: 1 })",
              "createBucket({ capacity: 1, perSecond: 1 }).take('a', -1)",
              "createShaper({ perSecond: 0 })", "createShaper({ perSecond: 1, waiting: NaN })",
              "createLeases({ limit: '5', windowMs: 1 })", "createSlowdown({ free: 0 })",
              "createSharedBucket({ capacity: 1, perSecond: 1, processes: '2' })"])  # fmt: skip
def test_limits_that_are_no_numbers_are_refused(wrong):
    assert "TypeError" in node.evaluate(HEAD + wrong, code=1).stderr


# --- in Redis --------------------------------------------------------------------------


def test_processes_share_one_bucket_and_one_clock(with_redis):
    said = with_redis("""
      const made = [1, 2, 3].map(() =>
        createSharedBucket({ redis, capacity: 10, perSecond: 0.001, ...patient }));
      const all = await Promise.all(Array.from({ length: 90 }, (_, n) => made[n % 3].take('a')));
      say(all.filter(({ allowed }) => allowed).length);
      const { waitMs } = all.at(-1);
      say(waitMs > 900_000 && waitMs <= 1_000_000, (await made[0].take('b', 11)).waitMs);
      const ttl = await redis.pttl('bucket:a');
      say(ttl > 9_000_000 && ttl <= 10_001_000);
    """)
    assert said == [[10], [True, None], [True]]


def test_a_shared_bucket_refills_by_the_clock_of_redis(with_redis):
    said = with_redis("""
      const { take } = createSharedBucket({ redis, capacity: 1, perSecond: 5, ...patient });
      say((await take('a')).allowed);
      const { allowed, waitMs } = await take('a');
      say(allowed || waitMs <= 200);
      await sleep(250);
      say((await take('a')).allowed);
    """)
    assert said == [[True], [True], [True]]


@pytest.mark.claim("rate-limiting/local-fallback-is-the-limit", verdict="depends")
def test_without_redis_each_process_has_its_share_of_the_limit():
    said = printed("""
      const redis = { eval: async () => { throw new Error('gone'); } };
      const made = (processes) => [1, 2, 3, 4].map(() =>
        createSharedBucket({ redis, capacity: 8, perSecond: 0.001, processes, logger }));
      for (const processes of [4, 1]) {
        const all = [];
        for (const { take } of made(processes))
          for (let n = 0; n < 10; n += 1) all.push((await take('a')).allowed);
        say(all.filter(Boolean).length);
      }
      const hangs = createSharedBucket({ redis: { eval: () => new Promise(() => {}) },
        capacity: 1, perSecond: 0.001, patienceMs: 50, logger: { error() {} } });
      say((await hangs.take('a')).allowed, (await hangs.take('a')).allowed);
    """)
    told = ["counting limits in this process", "Error"]
    assert said == [*[told] * 4, [8], *[told] * 4, [32], [True, False]]


@pytest.mark.claim("rate-limiting/incr-then-expire", verdict="right")
def test_a_crash_between_incr_and_expire_leaves_a_key_that_never_expires(with_redis):
    said = with_redis("""
      const allow = async (key, { crash = false } = {}) => {
        const n = await redis.incr(key);
        if (crash) throw new Error('the process ends here');
        if (n === 1) await redis.pexpire(key, 50);
        return n <= 2;
      };
      await allow('well');
      await allow('lost', { crash: true }).catch(() => {});
      for (let n = 0; n < 2; n += 1) await Promise.all([allow('well'), allow('lost')]);
      await sleep(100);
      say(await redis.pttl('lost'), await allow('well'), await allow('lost'));
    """)
    assert said == [[-1, True, False]]


@pytest.mark.claim("rate-limiting/leases-keep-the-limit", verdict="right")
def test_leased_batches_ask_redis_seldom_and_never_exceed_the_limit(with_redis):
    said = with_redis("""
      let asked = 0;
      const counted = { eval: (...args) => { asked += 1; return redis.eval(...args); } };
      const nodes = [1, 2, 3, 4].map(() => createLeases({
        redis: counted, limit: 1000, windowMs: 600_000, batch: 50, ...patient }));
      let allowed = 0;
      for (let n = 0; n < 4000; n += 1)
        allowed += (await nodes[n % 4].take('tenant')).allowed;
      say(allowed, asked <= 1000 / 50 + 4);
      const before = asked;
      const again = await Promise.all(nodes.map(({ take }) => take('tenant')));
      say(again.map(({ allowed }) => allowed), asked - before);
      say(again.every(({ waitMs }) => waitMs > 0 && waitMs <= 600_000));
      // one busy node alone: the others hold what they do not use
      const other = [1, 2, 3, 4].map(() => createLeases({
        redis, limit: 100, windowMs: 600_000, batch: 20, prefix: 'o:', ...patient }));
      for (const { take } of other) await take('tenant');
      let last = 0;
      for (let n = 0; n < 200; n += 1) last += (await other[0].take('tenant')).allowed;
      say(last + 4);
    """)
    assert said == [[1000, True], [[False] * 4, 0], [True], [43]]


def test_leases_end_with_their_window_and_a_question_is_asked_once(with_redis):
    said = with_redis("""
      let asked = 0;
      const counted = { eval: (...args) => { asked += 1; return redis.eval(...args); } };
      const { take } = createLeases({
        redis: counted, limit: 5, windowMs: 300, batch: 5, ...patient });
      const first = await Promise.all(Array.from({ length: 9 }, () => take('a')));
      say(first.filter(({ allowed }) => allowed).length, asked);
      await sleep(400);
      say((await take('a')).allowed);
    """)
    assert said == [[5, 2], [True]]


@pytest.mark.parametrize(
    ("how", "allowed"), [("open: true", True), ("open: false", False)]
)
def test_without_redis_leases_do_what_was_decided(how, allowed):
    said = printed(f"""
      const redis = {{ eval: () => new Promise(() => {{}}) }};
      const {{ take }} = createLeases({{ redis, limit: 5, windowMs: 1000, patienceMs: 50,
        logger, {how} }});
      say((await take('a')).allowed, (await take('a')).allowed);
    """)
    assert said == [["no leases", "TimeoutError"], [allowed, allowed]]


# --- shaping ---------------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/limiting-is-shaping", verdict="wrong")
def test_a_shaper_lets_all_of_a_burst_through_one_after_the_other():
    said = printed("""
      const run = createShaper({ perSecond: 50, waiting: 30 });
      const begun = [];
      const call = () => run(async () => { begun.push(performance.now()); });
      const done = await Promise.allSettled(Array.from({ length: 40 }, call));
      const failed = done.filter(({ status }) => status === 'rejected');
      say(begun.length, failed.length, failed[0].reason.name);
      const gaps = begun.slice(1).map((at, n) => at - begun[0] - 20 * (n + 1));
      say(Math.min(...gaps) > -10); // none begins before its turn
      const bucket = createBucket({ capacity: 10, perSecond: 50 });
      const taken = Array.from({ length: 40 }, () => bucket.take('a').allowed);
      say(taken.filter(Boolean).length);
    """)
    assert said == [[30, 10, "Full"], [True], [10]]


def test_a_shaper_does_not_let_anybody_wait_too_long_and_lets_go_who_leaves():
    said = printed("""
      const run = createShaper({ perSecond: 1, mostMs: 500 });
      await run(() => say('first'));
      await run(() => {}).catch(({ name, waitMs }) => say(name, waitMs > 500));
      const slow = createShaper({ perSecond: 10, waiting: 1 });
      await slow(() => {});
      const leaving = new AbortController();
      const gone = slow(() => say('never'), { signal: leaving.signal });
      leaving.abort();
      await gone.catch(({ name }) => say(name));
      await slow(() => say('next')); // its place is free again
      await slow(() => { throw new Error('its own'); }).catch(({ message }) => say(message));
    """)
    assert said == [["first"], ["Full", True], ["AbortError"], ["next"], ["its own"]]


@pytest.mark.claim("rate-limiting/same-rate-same-load", verdict="wrong")
def test_a_slower_dependency_multiplies_what_is_in_flight_at_the_same_rate():
    said = printed("""
      async function most(ms, cap = Infinity) {
        let [now, seen, refused] = [0, 0, 0];
        const call = async () => {
          if (now >= cap) return (refused += 1);
          now += 1;
          seen = Math.max(seen, now);
          await sleep(ms);
          return (now -= 1);
        };
        const calls = [];
        for (let n = 0; n < 100; n += 1) {
          calls.push(call());
          await sleep(10);
        }
        await Promise.all(calls);
        return [seen, refused];
      }
      const [[fast], [slow], [capped, refused]] =
        [await most(10), await most(500), await most(500, 8)];
      say(slow > 5 * fast, capped, refused > 50);
    """)
    assert said == [[True, 8, True]]


# --- progressive delay -----------------------------------------------------------------


@pytest.mark.claim("rate-limiting/sleeping-slows-guesses", verdict="wrong")
def test_a_delay_before_the_answer_lets_a_hundred_guesses_at_once_through():
    said = printed("""
      const naive = await import('./rate-limiting/slowdown.naive.mjs');
      let checked = 0;
      const check = async () => { checked += 1; await sleep(1); return false; };
      const login = naive.createSlowdown({ check });
      await Promise.all(Array.from({ length: 100 }, (_, n) => login('ann', n)));
      say(checked);
      let [at, looked] = [0, 0];
      const { attempt, succeeded } = createSlowdown({ now: () => at });
      for (let n = 0; n < 100; n += 1) looked += attempt('ann') === 0;
      say(looked);
      const waits = [];
      for (let n = 0; n < 12; n += 1) {
        const wait = attempt('ann');
        waits.push(wait);
        at += wait;
        attempt('ann');
      }
      say(waits);
      at += 1e9;
      attempt('ann');
      succeeded('ann');
      say(attempt('ann'), attempt('ann'), attempt('ann'), attempt('ann') > 0);
    """)
    assert said[:2] == [[100], [3]]
    assert said[2][0][:4] == [1000, 2000, 4000, 8000] and max(said[2][0]) == 900_000
    assert said[3] == [0, 0, 0, True]


def test_pauses_are_kept_for_as_many_accounts_as_told():
    said = printed("""
      let at = 0;
      const { attempt } = createSlowdown({
        free: 1, baseMs: 1000, mostMs: 2000, most: 2, now: () => at });
      say(...['a', 'b', 'c', 'd'].map((key) => attempt(key) > 0));
      at += 10_000;
      say(...['e', 'f'].map((key) => attempt(key) > 0));
    """)
    # c and d share the last place
    assert said == [[False, False, False, True], [False, False]]


# --- in front of a route ---------------------------------------------------------------


def test_a_refusal_says_when_to_come_back_and_what_costs_too_much_never_will(tmp_path):
    app = f"""
      import express from '{node.resolve("node_modules/express/index.js").as_uri()}';
      import {{ createBucket }} from '{node.uri(f"{TOPIC}/bucket.mjs")}';
      import {{ limited }} from '{node.uri(f"{TOPIC}/limited.mjs")}';
      export function createApp() {{
        const bucket = createBucket({{ capacity: 5, perSecond: 0.01 }});
        const app = express();
        app.use(limited({{ bucket, keyOf: (req) => req.get('key'),
          costOf: (req) => Number(req.query.cost ?? 1) }}));
        return app.get('/', (req, res) => res.json({{}}));
      }}
    """
    path = tmp_path / "app.mjs"
    path.write_text(textwrap.dedent(app))
    with node.serve(path) as server, server.client(headers={"key": "a"}) as client:
        assert [client.get("/").status_code for _ in range(5)] == [200] * 5
        refused = client.get("/")
        assert refused.status_code == 429
        assert refused.headers["content-type"].startswith("application/problem+json")
        assert int(refused.headers["retry-after"]) in range(90, 101)
        assert client.get("/", headers={"key": "b"}).status_code == 200
        never = client.get("/?cost=6", headers={"key": "c"})
        assert never.status_code == 422 and "retry-after" not in never.headers
