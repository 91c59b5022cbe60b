"""Retries: what is repeated, how often, when, and what that does to the one who is asked."""

import pytest

from .shared import DEPENDENCY, told

MAKE = {
    name: f"import {{ createRetry }} from './resilience/retry{suffix}.mjs';" + DEPENDENCY
    for name, suffix in (("naive", ".naive"), ("hardened", ""))
}
QUICK = "{ sleep: async () => {}, random: () => 0.5 }"


@pytest.mark.claim("resilience/fetch-rejects-on-500", verdict="wrong")
def test_a_retry_around_fetch_alone_asks_once_and_one_that_looks_asks_three_times():
    source = (
        MAKE["naive"]
        + """
    const down = await played((req, res) => res.writeHead(500).end());
    const { status } = await createRetry()(() => fetch(down.url));
    const asked = down.seen.length;
    await outcome(createRetry()(async () => {
      const answer = await fetch(down.url);
      if (answer.status >= 500) throw new Error(`answered ${answer.status}`);
    }));
    say({ status, asked, looked: down.seen.length - asked });
    down.close();
    """
    )
    assert told(source) == {"status": 500, "asked": 1, "looked": 3}


LAYERS = """
let asked = 0;
const failing = async () => { asked += 1; throw OVERLOAD; };
const layer = (below, retry) => () => retry(below, { idempotent: true });
const OVERLOAD = Object.assign(new Error('overload'), { mayPass: true });
"""


@pytest.mark.claim("resilience/retries-make-it-reliable", verdict="depends")
def test_three_tries_on_three_layers_are_27_and_at_one_layer_three():
    source = (
        MAKE["naive"]
        + LAYERS
        + """
    const retries = () => createRetry({ tries: 3 });
    const one = layer(failing, retries());
    await outcome(one());
    const alone = asked;
    asked = 0;
    await outcome(layer(layer(one, retries()), retries())());
    say({ alone, layered: asked });
    """
    )
    assert told(source) == {"alone": 3, "layered": 27}


@pytest.mark.claim("resilience/retries-make-it-reliable", verdict="depends")
def test_a_retry_helps_against_single_failures():
    source = (
        MAKE["naive"]
        + """
    let n = 0; // every tenth request fails, whoever sends it
    const flaky = async () => { n += 1; if (n % 10 === 0) throw new Error('once'); };
    const retry = createRetry({ tries: 2 });
    const failed = async (how) => {
      let count = 0;
      for (let i = 0; i < 1000; i += 1) await how(flaky).catch(() => { count += 1; });
      return count;
    };
    say({ without: await failed((task) => task()), with: await failed(retry) });
    """
    )
    assert told(source) == {"without": 100, "with": 0}


@pytest.mark.parametrize(("kind", "most"), [("naive", 3000), ("hardened", 1110)])
def test_a_retry_storm_reaches_a_dependency_that_is_down(kind, most):
    """The naive one triples the load of an outage, the budget allows a tenth more."""
    source = (
        MAKE[kind]
        + LAYERS
        + f"""
    const retry = createRetry({QUICK});
    for (let i = 0; i < 1000; i += 1)
      await outcome(retry(failing, {{ idempotent: true }}));
    say(asked);
    """
    )
    asked = told(source)
    if kind == "naive":
        assert asked == most
    else:
        assert 1090 <= asked <= most


@pytest.mark.parametrize(("kind", "charges"), [("naive", 3), ("hardened", 1)])
def test_a_post_is_repeated_by_the_naive_retry_only(kind, charges):
    source = (
        MAKE[kind]
        + LAYERS
        + f"""
    await outcome(createRetry({QUICK})(failing));
    say(asked);
    """
    )
    assert told(source) == charges


@pytest.mark.claim("resilience/backoff-is-enough", verdict="wrong")
def test_without_jitter_all_clients_come_back_in_the_same_millisecond():
    source = """
    import { createRetry } from './resilience/retry.mjs';
    // a clock that is played: whoever sleeps is entered in the book
    async function waves(random) {
      const book = new Map();
      const sleep = async (ms) => book.set(Math.round(ms), (book.get(Math.round(ms)) ?? 0) + 1);
      const OVERLOAD = Object.assign(new Error('overload'), { mayPass: true });
      await Promise.all(Array.from({ length: 1000 }, () => {
        const retry = createRetry({ sleep, random, tries: 2, baseMs: 1000 });
        return retry(async () => { throw OVERLOAD; }, { idempotent: true }).catch(() => {});
      }));
      return Math.max(...book.values());
    }
    console.log(JSON.stringify([await waves(() => 1), await waves(Math.random)]));
    """
    together, spread = told(source)
    assert together == 1000
    assert spread < 50  # a thousand over a thousand milliseconds: about five at most


def test_what_would_be_in_vain_or_was_told_otherwise_is_not_repeated():
    source = """
    import { createRetry, retryAfterMs } from './resilience/retry.mjs';
    const slept = [];
    const sleep = async (ms) => slept.push(ms);
    const retry = createRetry({ sleep, random: () => 0.5, baseMs: 100, tries: 2 });
    const tried = async (fields, call) => {
      let asked = 0;
      const task = async () => { asked += 1; throw Object.assign(new Error('x'), fields); };
      await retry(task, { idempotent: true, ...call }).catch(() => {});
      return asked;
    };
    const over = AbortSignal.abort();
    console.log(JSON.stringify({
      passes: await tried({ mayPass: true }),
      never: await tried({}),
      told: await tried({ mayPass: true, retryAfterMs: 1000 }),
      tooLong: await tried({ mayPass: true, retryAfterMs: 60_000 }),
      noTime: await tried({ mayPass: true }, { left: () => 40 }),
      over: await tried({ mayPass: true }, { signal: over }),
      slept,
      seconds: [retryAfterMs('7'), retryAfterMs('9'.repeat(400)) === Infinity],
      date: retryAfterMs('Thu, 01 Jan 1970 00:00:09 GMT', 4000),
      neither: [retryAfterMs('soon') ?? null, retryAfterMs(null) ?? null,
        retryAfterMs('-5') ?? null],
    }));
    """
    assert told(source) == {
        "passes": 2, "never": 1, "told": 2, "tooLong": 1, "noTime": 1, "over": 0,
        "slept": [50, 1050], "seconds": [7000, True], "date": 5000, "neither": [None] * 3,
    }  # fmt: skip


def test_a_signal_ends_the_pause_between_two_tries():
    source = """
    import { createRetry } from './resilience/retry.mjs';
    const stop = new AbortController();
    const fails = async () => {
      setImmediate(() => stop.abort());
      throw Object.assign(new Error('x'), { mayPass: true });
    };
    const retry = createRetry({ baseMs: 60_000, mostMs: 60_000, random: () => 0.9 });
    const { signal } = stop;
    await retry(fails, { idempotent: true, signal }).catch((error) =>
      console.log(JSON.stringify(error.name)));
    """
    assert told(source) == "AbortError"


CALL = "import { createCall } from './resilience/call.mjs';" + DEPENDENCY


def test_a_call_repeats_a_get_and_a_post_only_with_a_key():
    source = (
        CALL
        + """
    const down = await played((req, res, n) =>
      res.writeHead(n % 2 ? 503 : 200, { 'Retry-After': '0' }).end('ok'));
    const { call } = createCall({ baseMs: 1 });
    const get = await outcome(call(down.url));
    const post = { method: 'POST', body: 'x' };
    const bare = await outcome(call(down.url, post));
    down.seen.push('----'); // so that the next number is odd
    const headers = { 'Idempotency-Key': 'one' };
    const keyed = await outcome(call(down.url, { ...post, headers }));
    say({ get, bare, keyed, asked: down.seen.map((line) => line.slice(0, 4)) });
    down.close();
    """
    )
    seen = told(source)
    assert seen["get"] == 200 and seen["bare"] == "UpstreamError" and seen["keyed"] == 200
    assert seen["asked"] == ["GET ", "GET ", "POST", "----", "POST", "POST"]


def test_a_call_ends_in_time_also_in_the_body_and_bounds_it():
    source = (
        CALL
        + """
    const endless = await played((req, res) => {
      res.write('x'.repeat(req.url === '/large' ? 5000 : 5)); // and it never ends
    });
    const { call } = createCall({ timeoutMs: 100, totalMs: 150, tries: 2, mostBytes: 1000, baseMs: 1 });
    const slow = await outcome(call(`${endless.url}/slow`));
    const large = await call(`${endless.url}/large`).catch((error) => error.message);
    const asked = endless.seen.filter((line) => line.endsWith('/large')).length;
    endless.close();
    const away = await outcome(call(endless.url));
    say({ slow, large, asked, away });
    """
    )
    assert told(source) == {
        "slow": "DeadlineError",
        "large": "a body without an end",
        "asked": 1,  # no other try would be shorter
        "away": "UpstreamError",
    }
