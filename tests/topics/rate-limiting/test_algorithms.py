"""Windows, buckets, and numbers that are none."""

import psutil
import pytest

from lab.run import node, process

from .shared import TOPIC, connected, workers

# --- algorithms ---------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/window-admits-limit", verdict="wrong")
def test_a_fixed_window_of_a_hundred_serves_nearly_twice_that_at_its_boundary():
    most = dict(line.split(": ") for line in node.lines("rate-limiting/boundary.mjs"))
    assert most["express-rate-limit"] == "199 in a second, 199 in a window"
    assert most["fixed window"] == most["express-rate-limit"]


@pytest.mark.claim("rate-limiting/sliding-window-fixes-it", verdict="depends")
def test_of_the_algorithms_only_the_log_keeps_its_limit_in_every_window():
    most = dict(line.split(": ") for line in node.lines("rate-limiting/boundary.mjs"))
    assert most["sliding log"] == "100 in a second, 100 in a window"
    assert most["sliding counter"] == "100 in a second, 198 in a window"
    assert most["token bucket"] == "101 in a second, 199 in a window"
    assert most["token bucket, burst 10"] == "11 in a second, 109 in a window"


ALGORITHMS = """
import * as algorithms from './rate-limiting/algorithms.mjs';
let time = 0;
const now = () => time;
"""


def test_a_fixed_window_serves_twice_its_limit_at_every_second_boundary():
    seen = node.evaluate(
        ALGORITHMS
        + """
    const allow = algorithms.fixedWindow({ limit: 100, windowMs: 60_000, now });
    const bursts = [];
    for (let window = 1; window <= 6; window += 2) { // and saves up in between
      let burst = 0; // within a millisecond, around the beginning of a window
      for (time = 60_000 * window - 1; time <= 60_000 * window; time += 1) {
        while (allow('attacker')) burst += 1;
      }
      bursts.push(burst);
    }
    console.log(bursts.join());
    """
    ).stdout
    assert seen == "200,200,200\n"


@pytest.mark.claim("rate-limiting/gcra-is-a-bucket", verdict="right")
def test_gcra_decides_as_the_token_bucket_does():
    seen = node.evaluate(
        ALGORITHMS
        + """
    const options = { limit: 64, windowMs: 1024, burst: 8, now }; // exact in binary
    const bucket = algorithms.tokenBucket(options);
    const gcra = algorithms.gcra(options);
    let [seed, same, allowed] = [7, 0, 0];
    for (let i = 0; i < 20_000; i += 1) {
      seed = (seed * 48271) % 2147483647;
      time += seed % 40;
      const cost = 1 + (seed % 3);
      const decision = bucket('key', cost);
      same += decision === gcra('key', cost);
      allowed += decision;
    }
    console.log(same, allowed > 5000 && allowed < 15_000);
    """
    ).stdout
    assert seen == "20000 true\n"


@pytest.mark.parametrize(
    "name", ["fixedWindow", "slidingLog", "slidingCounter", "tokenBucket", "gcra"]
)
def test_each_algorithm_counts_each_key_alone_and_lets_it_pass_again(name):
    seen = node.evaluate(
        ALGORITHMS
        + f"""
    const allow = algorithms.{name}({{ limit: 3, windowMs: 1000, now }});
    const five = (key) => Array.from({{ length: 5 }}, () => allow(key)).map(Number);
    console.log(five('ann').join(''), five('bob').join(''));
    time = 3000;
    console.log(five('ann').join(''));
    """
    ).stdout
    assert seen.split() == ["11100", "11100", "11100"]


def test_an_expensive_request_costs_more_tokens():
    seen = node.evaluate(
        ALGORITHMS
        + """
    const allow = algorithms.tokenBucket({ limit: 10, windowMs: 1000, now });
    console.log(allow('ann', 8), allow('ann', 8), allow('ann', 2), allow('ann', 1));
    """
    ).stdout
    assert seen == "true false true false\n"


# --- numbers that are none --------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("algorithms.fixedWindow({ limit: 5 })", "windowMs: … but undefined"),
        ("algorithms.slidingLog({ limit: '5', windowMs: 9 })", "limit: … but '5'"),
        ("algorithms.slidingCounter({ limit: 5, windowMs: '9' })", "windowMs: … but '9'"),
        ("algorithms.tokenBucket({ limit: 5, windowMs: 9, burst: '9' })", "burst: … '9'"),
        ("algorithms.gcra({ limit: 5, windowMs: NaN })", "windowMs: … but NaN"),
        (
            "algorithms.tokenBucket({ limit: 5, windowMs: 9 })('ann', -1)",
            "cost: … but -1",
        ),
        ("algorithms.gcra({ limit: 5, windowMs: 9 })('ann', NaN)", "cost: … but NaN"),
        ("api({ limit: '10' })", "limit: … but '10'"),
        ("api({ limit: NaN })", "limit: … but NaN"),
        ("proxy({ limit: 0 })", "limit: … but 0"),
        ("new BoundedStore({ keys: '9' })", "keys: … but '9'"),
        ("passwordsOf({ users: new Map(), N: '1024' })", "N: … but '1024'"),
        ("passwordsOf({ users: new Map(), atOnce: NaN })", "atOnce: … but NaN"),
        ("login({ secret: '' })", "secret: … bytes, not 32"),
        ("login({ secret: 'x'.repeat(31) })", "secret: … bytes, not 32"),
    ],
)
def test_what_would_count_wrongly_is_an_error_when_it_is_made(made, said):
    seen = node.evaluate(
        f"""
    import * as algorithms from './{TOPIC}/algorithms.mjs';
    import {{ createApp as api }} from './{TOPIC}/api.mjs';
    import {{ createApp as login }} from './{TOPIC}/login.mjs';
    import {{ BoundedStore }} from './{TOPIC}/memory.mjs';
    import {{ passwordsOf }} from './{TOPIC}/passwords.mjs';
    import {{ createApp as proxy }} from './{TOPIC}/proxy.mjs';
    try {{ {made}; }} catch (error) {{ console.log(error.message); }}
    """
    ).stdout
    assert all(part in seen for part in said.split(" … ")), seen


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LIMIT", "1OO", "limit: not a whole number, 1 or more, but NaN"),
        ("LIMIT", "", "limit: not a whole number, 1 or more, but 0"),
        ("WORKERS", "two", "WORKERS: not a whole number, 1 or more, but NaN"),
        ("PROXIES", "10.0.0.5", "SyntaxError"),  # JSON has it in quotes
        ("REDIS_URL", "redis://127.0.0.1:1", "ECONNREFUSED"),
    ],
)
def test_workers_that_cannot_start_end_all_of_it_with_an_error(name, value, said):
    env = {"WORKERS": "2", "PORT": "0", name: value}
    done = node.run(f"{TOPIC}/workers.mjs", env=env, code=1)
    assert said in done.stderr
    assert "listening" not in done.stdout


def test_a_worker_that_dies_ends_the_others_and_the_end_is_an_error(tmp_path):
    """Whoever supervises the process starts it anew; clustering has another way."""
    with pytest.raises(node.NodeError, match="ended while it was being served, with 1"):
        with workers(WORKERS="2") as server:
            victim = psutil.Process(server.pid).children()[0]
            victim.kill()
            process.until(lambda: not server.alive(), 10)


def test_a_counter_that_cannot_expire_is_not_begun(redis_server):
    seen = connected(
        redis_server,
        f"""
    const {{ allow }} = await import('./{TOPIC}/counter.mjs');
    const redis = await connect({{ url, logger }});
    for (const windowMs of [undefined, 'a minute', 0, -1]) {{
      await allow(redis, 'ann', {{ limit: 5, windowMs }}).catch(() => {{}});
    }}
    console.log(await redis.dbsize());
    redis.disconnect();
    """,
    )
    assert seen == ["0"]
