"""What docs/chapters/rate-limiting.md says, run."""

import contextlib
import json
import socket
import statistics
import time

import httpx
import psutil
import pytest

from lab.record import evidence
from lab.run import load, node, process, services

TOPIC = "rate-limiting"
SOURCE = "tests/chapters/test_rate_limiting.py"
ANN = {"email": "ann@shop.test", "password": "correct horse"}
BOB = {"email": "bob@shop.test", "password": "battery staple"}
WRONG = {**ANN, "password": "wrong horse"}
# The proxy connects from 127.0.0.2, see lab.services: clients must not.
ATTACKER, OTHER, PROXY = "127.0.0.3", "127.0.0.4", "127.0.0.2"


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def client(url: str, address: str = ATTACKER, **options) -> httpx.Client:
    return load.client(url, address, **options)


def served(url: str, count: int, address: str = ATTACKER, rotate: bool = False) -> int:
    """How many of `count` requests are answered 200; the others must be 429. With
    `rotate` each claims to come from an address of its own."""
    with client(url, address) as attacker:
        codes = [
            attacker.get(
                "/products",
                headers={"X-Forwarded-For": f"203.0.113.{n}"} if rotate else {},
            ).status_code
            for n in range(count)
        ]
    assert set(codes) <= {200, 429}
    return codes.count(200)


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = "", name: str = "module"):
        path = tmp_path / f"{name}.mjs"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", deps, before))
        return path

    return write


def workers(**env: str):
    # a machine with other work may answer late, and then a worker counts alone
    env = {"LIMIT": "10", "REDIS_PATIENCE_MS": "20000", **env}
    return node.serve(f"{TOPIC}/workers.mjs", env=env, grace=10)


# --- the limiter of an API ----------------------------------------------------------


def test_the_api_refuses_the_eleventh_request_and_says_when_to_come_back(module):
    with node.serve(module("api.mjs", "limit: 10")) as server, server.client() as c:
        answers = [c.get("/products") for _ in range(11)]
        assert [a.status_code for a in answers] == [200] * 10 + [429]
        first, refused = answers[0], answers[-1]
        assert first.json()[0]["sku"] == "tea"
        assert first.headers["RateLimit"].startswith('"10-in-1min"; r=9; t=')
        assert first.headers["RateLimit-Policy"].startswith('"10-in-1min"; q=10; w=60')
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["Content-Type"].startswith("application/problem+json")
        assert c.get("/health").status_code == 200  # above the limiter


@pytest.mark.parametrize(
    ("snippet", "deps", "path"),
    [("api.mjs", "", "/products"), ("login.mjs", "N: 1024", "/login")],
)
def test_a_body_that_is_no_json_is_refused_and_printed_nowhere(
    module, snippet, deps, path
):
    headers = {"Content-Type": "application/json"}
    with node.serve(module(snippet, deps)) as server, server.client() as c:
        answer = c.post(path, content="hunter2", headers=headers)
        assert answer.status_code == 400
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert "hunter2" not in answer.text + server.output()
        assert "SyntaxError" not in server.output()


def test_what_is_refused_is_not_parsed(module):
    broken = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with node.serve(module("api.mjs", "limit: 1")) as server, server.client() as c:
        assert c.post("/products", **broken).status_code == 400  # it was parsed
        assert c.post("/products", **broken).status_code == 429


ONE_REQUEST = """
import express from 'express';
import { once } from 'node:events';
import { rateLimit } from 'express-rate-limit';

const messages = [];
const logger = { error: (e) => messages.push(e.code), warn: (e) => messages.push(e.code) };
async function ask(options, count) {
  const app = express();
  app.set('trust proxy', 'loopback');
  app.use(rateLimit({ windowMs: 60_000, logger, ...options }));
  app.use((req, res) => res.end());
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answers = [];
  for (let i = 0; i < count; i += 1) {
    const headers = options.from ? { 'X-Forwarded-For': options.from(i) } : {};
    answers.push(await fetch(`http://127.0.0.1:${server.address().port}/`, { headers }));
  }
  server.close();
  server.closeAllConnections();
  return answers;
}
const passed = (answers) => answers.filter((answer) => answer.ok).length;
"""


@pytest.mark.claim("rate-limiting/max-is-the-option")
def test_max_still_works_and_nothing_says_that_it_is_called_limit():
    seen = node.evaluate(
        ONE_REQUEST
        + """
    console.log(passed(await ask({ max: 3 }, 6)), passed(await ask({ limit: 3 }, 6)),
      passed(await ask({ max: 5, limit: 3 }, 6)), messages.length);
    console.log(passed(await ask({}, 9)), passed(await ask({ limits: 3 }, 9)));
    console.log(messages.join());
    """
    ).stdout
    assert seen.splitlines() == [
        "3 3 3 0",  # both work, `limit` wins, no word of it
        "5 5",  # neither: five a minute; so does what is misspelt
        "ERR_ERL_UNKNOWN_OPTION",  # which is logged, not thrown
    ]


@pytest.mark.claim("rate-limiting/address-is-a-client")
def test_a_client_with_an_ipv6_network_has_one_key_by_default_and_many_by_req_ip():
    seen = node.evaluate(
        ONE_REQUEST
        + """
    const from = (i) => `2001:db8:0:12::${i + 1}`; // one customer's /64
    const strangers = (i) => `2001:db8:${i + 1}::1`;
    console.log(passed(await ask({ limit: 10, from }, 30)));
    console.log(passed(await ask({ limit: 10, from: strangers }, 30)));
    console.log(passed(await ask({ limit: 10, from, keyGenerator: (req) => req.ip }, 30)));
    console.log(messages.filter((code) => code === 'ERR_ERL_KEY_GEN_IPV6').length);
    """
    ).stdout
    assert seen.split() == ["10", "30", "30", "1"]


def test_without_any_headers_a_429_does_not_say_when_to_come_back():
    seen = node.evaluate(
        ONE_REQUEST
        + """
    for (const legacyHeaders of [true, false]) {
      const [, refused] = await ask({ limit: 1, legacyHeaders }, 2);
      console.log(refused.status, refused.headers.has('retry-after'));
    }
    """
    ).stdout
    assert seen.splitlines() == ["429 true", "429 false"]


OLD_VERSION = """
import express from 'express';
import { rateLimit } from '%s';
export function createApp() {
  const app = express();
  app.use(rateLimit({ limit: 10 }));
  app.get('/products', (req, res) => res.end());
  return app;
}
"""


@pytest.mark.claim("rate-limiting/updates-can-wait")
@pytest.mark.parametrize(
    ("package", "others"), [("_specimens/node_modules", 0), ("node_modules", 10)]
)
def test_an_old_version_counts_all_ipv4_clients_of_a_dual_stack_server_as_one(
    package, others, tmp_path
):
    # served on `::`, as listen(port) does: there 127.0.0.3 is ::ffff:127.0.0.3
    library = node.resolve(f"{package}/express-rate-limit/dist/index.mjs").as_uri()
    (tmp_path / "app.mjs").write_text(OLD_VERSION % library)
    serve = tmp_path / "serve.mjs"
    serve.write_text(
        "import { createApp } from './app.mjs';\n"
        "const server = createApp().listen(process.env.PORT, '::', () =>\n"
        "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => server.close());\n"
    )
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    with node.serve(serve) as server:
        assert served(server.url, 20, ATTACKER) == 10
        assert served(server.url, 10, OTHER) == others


# --- several processes --------------------------------------------------------------


@pytest.mark.claim("rate-limiting/limit-is-the-limit")
@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_limit_of_ten_is_ten_a_worker_in_memory_and_ten_in_redis(count, redis_server):
    with workers(WORKERS=str(count)) as server:
        assert served(server.url, 30 * count) == 10 * count
    with workers(WORKERS=str(count), REDIS_URL=redis_server.url) as server:
        assert served(server.url, 30 * count) == 10


@pytest.mark.parametrize("kind", ["nginx", "node"])
def test_limiter_cluster_and_proxy_together_hold_one_limit_for_each_client(
    kind, redis_server
):
    if kind == "nginx" and (why := services.missing("nginx")):
        pytest.skip(why)
    env = {"WORKERS": "2", "PROXIES": json.dumps(PROXY)}
    with workers(**env) as server, services.proxy(server.url, kind=kind) as proxy:
        # the proxy is known, the workers are not: twice the limit
        assert served(proxy.url, 60, ATTACKER, rotate=True) == 20
    env["REDIS_URL"] = redis_server.url
    with workers(**env) as server, services.proxy(server.url, kind=kind) as proxy:
        assert served(proxy.url, 60, ATTACKER, rotate=True) == 10
        assert served(proxy.url, 12, OTHER) == 10
    redis_server.command("FLUSHALL")
    env["PROXIES"] = "false"
    with workers(**env) as server, services.proxy(server.url, kind=kind) as proxy:
        # all of it shared but the proxy is not known: one limit for everybody
        assert served(proxy.url, 12, ATTACKER) == 10
        assert served(proxy.url, 12, OTHER) == 0


def race(snippet: str, redis) -> int:
    return int(
        node.evaluate(
            f"""
    import {{ Redis }} from 'ioredis';
    import {{ allow }} from './{TOPIC}/{snippet}';
    const redis = new Redis('{redis.url}');
    const guess = () => allow(redis, 'ann', {{ limit: 5, windowMs: 60_000 }});
    const allowed = await Promise.all(Array.from({{ length: 100 }}, guess));
    console.log(allowed.filter(Boolean).length);
    console.error(await guess());
    redis.disconnect();
    """
        ).stdout
    )


@pytest.mark.claim("rate-limiting/redis-makes-it-exact")
def test_a_hundred_guesses_at_once_pass_a_counter_that_is_read_and_then_written(
    redis_server,
):
    assert race("counter.naive.mjs", redis_server) > 50
    redis_server.command("FLUSHALL")
    assert race("counter.mjs", redis_server) == 5
    assert 0 < redis_server.command("PTTL", "ann") <= 60_000


# --- which address ------------------------------------------------------------------

# setting -> served of 30 with a limit of 10, and another client's 5 after that:
# (directly, behind a proxy that appends, behind one that overwrites)
TRUST = {
    "false": [(10, 5), (10, 0), (10, 0)],
    json.dumps(PROXY): [(10, 5), (10, 5), (10, 5)],
    "1": [(30, 5), (10, 5), (10, 5)],
    "2": [(30, 5), (30, 5), (10, 5)],
    '"loopback"': [(30, 5), (30, 5), (10, 5)],
    "true": [(30, 5), (30, 5), (10, 5)],
}


@pytest.mark.claim("rate-limiting/trust-proxy-true")
@pytest.mark.parametrize("setting", TRUST)
def test_who_passes_a_limit_of_ten_by_what_is_trusted(setting):
    found = []
    for way in ("direct", "append", "overwrite"):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(workers(WORKERS="1", PROXIES=setting))
            url = server.url
            if way != "direct":
                url = stack.enter_context(services.proxy(url, forwarded=way)).url
            attacker = served(url, 30, ATTACKER, rotate=True)
            found.append((attacker, served(url, 5, OTHER)))
    assert found == TRUST[setting]


@pytest.mark.parametrize("kind", ["nginx", "node"])
def test_made_up_addresses_pass_the_naive_limiter_and_not_the_hardened_one(kind):
    if kind == "nginx" and (why := services.missing("nginx")):
        pytest.skip(why)
    answers = {}
    for snippet in ("proxy.naive.mjs", "proxy.mjs"):
        with node.serve(f"{TOPIC}/{snippet}") as server:
            with (
                services.proxy(server.url, kind=kind) as proxy,
                client(proxy.url, ATTACKER) as attacker,
                client(proxy.url, OTHER) as other,
            ):
                claimed = [{"X-Forwarded-For": f"203.0.113.{n}"} for n in range(30)]
                codes = [attacker.get("/", headers=h).status_code for h in claimed]
                answers[snippet] = codes.count(200)
                assert other.get("/").json() == {"you": OTHER}
    assert answers == {"proxy.naive.mjs": 30, "proxy.mjs": 10}


def test_the_library_warns_of_trusting_everybody_once_and_lets_them_pass():
    with workers(WORKERS="1", PROXIES="true") as server:
        assert served(server.url, 20, rotate=True) == 20
        assert server.output().count("code: 'ERR_ERL_PERMISSIVE_TRUST_PROXY'") == 1
    with workers(WORKERS="1", PROXIES="1") as server:
        assert served(server.url, 20, rotate=True) == 20
        assert "ERR_ERL" not in server.output()  # one proxy too many: not a word


# --- algorithms ---------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/window-admits-limit")
def test_a_fixed_window_of_a_hundred_serves_nearly_twice_that_at_its_boundary():
    most = dict(line.split(": ") for line in output("boundary.mjs"))
    assert most["express-rate-limit"] == "199 in a second, 199 in a window"
    assert most["fixed window"] == most["express-rate-limit"]


@pytest.mark.claim("rate-limiting/sliding-window-fixes-it")
def test_of_the_algorithms_only_the_log_keeps_its_limit_in_every_window():
    most = dict(line.split(": ") for line in output("boundary.mjs"))
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


# --- the login ----------------------------------------------------------------------

USERS = """
import { scryptSync } from 'node:crypto';
const [salt, options] = [Buffer.alloc(16, 7), { N: 1024, r: 8, p: 1 }];
const user = (password) => ({ salt, hash: scryptSync(password, salt, 32, options) });
const users = new Map([
  ['ann@shop.test', user('correct horse')],
  ['bob@shop.test', user('battery staple')],
]);
"""


@pytest.fixture
def login(module):
    """Serves a login with two users and a cheap hash."""

    @contextlib.contextmanager
    def serve(snippet: str, deps: str = ""):
        path = module(snippet, f"users, N: 1024, {deps}", USERS, f"{snippet}-served")
        with node.serve(path) as server:
            yield server

    return serve


def attempt(c: httpx.Client, body: dict, **options) -> int:
    return c.post("/login", json=body, **options).status_code


@pytest.mark.claim("rate-limiting/protects-the-login")
def test_a_list_of_passwords_gets_through_an_address_limit_and_not_an_account_limit():
    assert output("guesses.mjs") == [
        "100 per address: 1000 guesses, found after 2.25 h",
        "per account, 1 address: 100 guesses, not found in a day",
        "per account, 20 addresses: 1000 guesses, found after 19 h",
        "no limit: 1000 guesses, found after 0 h",
    ]
    assert output("guesses.mjs", "none") == [
        "100 per address: 9600 guesses, not found in a day",
        "per account, 1 address: 100 guesses, not found in a day",
        "per account, 20 addresses: 1200 guesses, not found in a day",
    ]


GUESSES = [{**ANN, "password": f"guess {n}"} for n in range(60)] + [ANN]


@pytest.mark.parametrize(
    ("snippet", "found", "checked"),
    [("login.naive.mjs", True, 60), ("login.mjs", False, 5)],
)
def test_brute_force_finds_the_password_in_the_naive_login_only(
    login, snippet, found, checked
):
    with login(snippet) as server, client(server.url) as attacker:
        codes = [attempt(attacker, guess) for guess in GUESSES]
        assert (204 in codes) is found
        assert codes.count(401) == checked
        # behind the same NAT, another customer gets in
        assert attempt(attacker, BOB) == 204


GUESSING = """
import { once } from 'node:events';
import { createApp } from './rate-limiting/login.mjs';
const headers = { 'Content-Type': 'application/json' };
async function serve(deps) {
  const server = createApp(deps).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
function post(server, i, signal) {
  const url = `http://127.0.0.1:${server.address().port}/login`;
  const body = JSON.stringify({ email: 'ann@shop.test', password: `guess ${i}` });
  return fetch(url, { method: 'POST', headers, body, signal });
}
function end(server) {
  server.close();
  server.closeAllConnections();
}
"""


def test_a_hundred_guesses_at_once_are_five():
    guesses = """
    let [checked, refused] = [0, 0];
    const others = Promise.withResolvers();
    const check = async () => {
      checked += 1;
      await others.promise; // no guess is answered before the others were refused
      return false;
    };
    const server = await serve({ check });
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const { status } = await post(server, i);
      refused += status === 429;
      if (refused === 95) others.resolve();
    }));
    console.log(checked, refused);
    end(server);
    """
    assert node.evaluate(GUESSING + guesses).stdout == "5 95\n"


def test_only_two_passwords_are_hashed_at_once_and_the_third_is_told_to_come_back():
    seen = node.evaluate(
        GUESSING
        + """
    const { passwordsOf } = await import('./rate-limiting/passwords.mjs');
    const check = passwordsOf({ users: new Map(), N: 1024 });
    const ask = (count) => Promise.all(
      Array.from({ length: count }, (_, i) => check(`${i}@shop.test`, 'guess')));
    const right = await ask(40);
    console.log(right.slice(0, 3).join(), right.filter((one) => one === null).length);
    const again = await ask(40); // both are free again, and no third
    console.log(again.filter((one) => one === null).length);
    await check('ann@shop.test', 7).catch(() => {}); // and after an error
    await check('ann@shop.test', 7).catch(() => {});
    console.log((await ask(1)).join());
    const server = await serve({ check: async () => null });
    const busy = await post(server, 1);
    console.log(busy.status, busy.headers.get('retry-after'));
    end(server);
    """
    ).stdout
    assert seen.splitlines() == ["false,false, 38", "38", "false", "503 1"]


def test_a_guess_is_counted_though_the_attacker_hangs_up():
    seen = node.evaluate(
        GUESSING
        + """
    const stop = [];
    let checked = 0;
    const check = async () => {
      checked += 1;
      const gone = once(server, 'gone');
      stop.shift()?.abort(); // hangs up while the password is being checked
      await gone;
      return false;
    };
    const server = await serve({ check });
    server.on('connection', (socket) =>
      socket.once('close', () => server.emit('gone')));
    for (let i = 0; i < 5; i += 1) {
      const hasty = new AbortController();
      stop.push(hasty);
      await post(server, i, hasty.signal).catch(() => {});
      await once(server, 'gone');
      await new Promise(setImmediate); // what is awaited after it, runs
    }
    console.log(checked, (await post(server, 6)).status);
    end(server);
    """
    ).stdout
    assert seen == "5 429\n"


@pytest.mark.claim("rate-limiting/lock-the-account")
def test_an_attacker_locks_out_strangers_and_not_the_owners_device(login):
    with (
        login("login.mjs") as server,
        client(server.url, ATTACKER) as attacker,
        client(server.url, ATTACKER) as ann,  # behind the same NAT
    ):
        welcome = ann.post("/login", json=ANN)
        assert welcome.status_code == 204
        flags = welcome.headers["set-cookie"].lower()
        expected = "max-age=7776000 path=/login httponly secure samesite=strict"
        assert all(f"; {word}" in flags for word in expected.split())
        device = welcome.headers["set-cookie"].split(";")[0]
        assert [attempt(attacker, WRONG) for _ in range(7)] == [401] * 5 + [429] * 2
        # the attacker with the right password, and Ann on a device that is not known
        assert attempt(attacker, ANN) == 429
        assert attempt(ann, ANN, headers={"Cookie": device}) == 204
        # the device is no free pass: its own mistakes are counted
        own = [attempt(ann, WRONG, headers={"Cookie": device}) for _ in range(6)]
        assert own == [401] * 5 + [429]


def test_a_device_is_known_for_its_own_account_only_and_cannot_be_forged(login):
    with login("login.mjs") as server, client(server.url) as mallory:
        welcome = mallory.post("/login", json=BOB)
        device = welcome.headers["set-cookie"].split(";")[0]
        forged = "device=" + "a" * 36 + "." + "b" * 43
        assert [attempt(mallory, WRONG) for _ in range(6)] == [401] * 5 + [429]
        for cookie in (device, forged, "device=", "x=1; device=é"):
            headers = {"Cookie": cookie.encode("latin-1")}
            assert attempt(mallory, ANN, headers=headers) == 429


def test_many_addresses_share_one_limit_for_an_account(login):
    with login("login.mjs", f"proxies: '{ATTACKER}'") as server:
        with client(server.url) as botnet:
            codes = [
                attempt(botnet, WRONG, headers={"X-Forwarded-For": f"203.0.113.{n}"})
                for n in range(60)
            ]
    assert codes == [401] * 50 + [429] * 10


def test_one_address_has_a_hundred_failures_a_day_for_all_accounts(login):
    with login("login.mjs") as server, client(server.url) as attacker:
        sprayed = [
            attempt(attacker, {"email": f"{n}@shop.test", "password": "Summer2026"})
            for n in range(105)
        ]
    assert sprayed == [401] * 100 + [429] * 5


def test_no_limit_sees_stuffing_that_takes_an_address_for_each_account(login):
    with login("login.mjs", f"proxies: '{ATTACKER}'") as server:
        with client(server.url) as botnet:
            codes = [
                attempt(
                    botnet,
                    {"email": f"{n}@shop.test", "password": "leaked elsewhere"},
                    headers={"X-Forwarded-For": f"203.0.113.{n}"},
                )
                for n in range(150)
            ]
    assert codes == [401] * 150


def test_a_login_that_succeeds_is_not_counted_and_does_not_start_the_count_again(login):
    with login("login.mjs") as server, client(server.url) as c:
        assert [attempt(c, ANN) for _ in range(12)] == [204] * 12
        assert [attempt(c, WRONG) for _ in range(4)] == [401] * 4
        assert attempt(c, ANN) == 204
        assert [attempt(c, WRONG) for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    "spelling", ["ANN@shop.test", " ann@shop.test ", "Ann@Shop.TEST"]
)
def test_an_account_spelt_otherwise_is_the_same_account(login, spelling):
    with login("login.mjs") as server, client(server.url) as c:
        assert [attempt(c, WRONG) for _ in range(5)] == [401] * 5
        assert attempt(c, {**ANN, "email": spelling}) == 429


def test_answers_do_not_tell_who_has_an_account(login):
    def answers(server, email):
        body = {"email": email, "password": "wrong horse"}
        with client(server.url) as c:
            seen = [c.post("/login", json=body) for _ in range(7)]
        return [
            (a.status_code, a.text, a.headers.get("RateLimit", "").split("; t=")[0])
            for a in seen
        ]

    for snippet, same in (("login.naive.mjs", False), ("login.mjs", True)):
        seen = []
        for email in (ANN["email"], "nobody@shop.test"):
            with login(snippet) as server:
                seen.append(answers(server, email))
        assert (seen[0] == seen[1]) is same


@pytest.mark.parametrize(
    "body", [{}, {"email": "a", "password": 7}, {"email": ["a"], "password": "b"}]
)
def test_the_login_refuses_what_is_not_text_or_too_long(login, body):
    with login("login.mjs") as server, client(server.url) as c:
        assert attempt(c, body) == 400
        assert c.post("/login").status_code == 400
        assert attempt(c, {**ANN, "password": "x" * 2000}) == 413


def test_the_flood_of_one_address_is_refused_before_it_is_parsed(login):
    broken = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with login("login.mjs") as server, server.client() as c:
        codes = [c.post("/login", **broken).status_code for _ in range(310)]
    assert codes == [400] * 300 + [429] * 10


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_the_login_keeps_its_limits_in_redis_without_a_name_in_it(
    module, redis_server, store
):
    shared = node.resolve(f"{TOPIC}/shared.mjs").as_uri()
    url = json.dumps(redis_server.url if store == "redis" else "")
    before = f"{USERS}\nimport {{ stores }} from '{shared}';\n"
    deps = f"users, N: 1024, store: await stores({{ ...deps, url: {url} }})"
    path = module("login.mjs", deps, before)
    for _ in range(2):  # a restart
        with node.serve(path) as server, client(server.url) as c:
            codes = [attempt(c, WRONG) for _ in range(6)]
    assert codes == ([429] * 6 if store == "redis" else [401] * 5 + [429])
    assert "ann" not in str(redis_server.command("KEYS", "*"))


REDIRECTS = """
import express from 'express';
import { rateLimit } from 'express-rate-limit';
export function createApp() {
  const app = express();
  app.use(rateLimit({ limit: 5, skipSuccessfulRequests: true }));
  app.post('/form', (req, res) => res.redirect('/login?failed'));
  app.post('/json', (req, res) => res.sendStatus(401));
  return app;
}
"""


@pytest.mark.claim("rate-limiting/failed-logins-are-counted")
def test_a_failed_login_that_redirects_is_not_counted_as_failed(tmp_path):
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    path = tmp_path / "redirects.mjs"
    path.write_text(REDIRECTS)
    with node.serve(path) as server, client(server.url) as c:
        assert [c.post("/form").status_code for _ in range(50)] == [302] * 50
        assert [c.post("/json").status_code for _ in range(6)] == [401] * 5 + [429]


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


@pytest.mark.claim("rate-limiting/redis-down")
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


CONNECTED = """
import { connect } from './rate-limiting/connect.mjs';
const lines = [];
const logger = { error: (fields) => lines.push(fields.error) };
const [url, pid] = %s;
const said = (error) => error.message;
"""


def connected(redis, text: str) -> list[str]:
    start = CONNECTED % json.dumps([redis.url, redis.pid])
    return node.evaluate(start + text).stdout.splitlines()


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


STORE = """
import { stores } from './rate-limiting/shared.mjs';
const stop = new AbortController();
const store = (await stores({ url, logger, signal: stop.signal }))('api');
"""


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


@pytest.mark.parametrize(
    ("policy", "then"),
    [
        ("volatile-ttl", ["null 1", "1 0"]),  # evicted: it begins again there
        ("noeviction", ["3 1", "3 1"]),  # kept, and it goes on in this process
    ],
)
def test_a_flood_evicts_live_counters_by_any_policy_that_evicts(
    redis_server, policy, then
):
    redis_server.command("CONFIG", "SET", "maxmemory", "3mb")
    redis_server.command("CONFIG", "SET", "maxmemory-policy", policy)
    seen = connected(
        redis_server,
        "import { Redis } from 'ioredis';\n"
        + STORE
        + """
    await store.init({ windowMs: 60_000 });
    for (let i = 0; i < 3; i += 1) await store.increment('ann');
    const redis = new Redis(url); // which waits as long as it takes
    let full = false; // others have counters for a day
    for (let n = 0; !full && (await redis.exists('rl:api:ann')); n += 500) {
      const flood = redis.pipeline();
      for (let i = n; i < n + 500; i += 1) flood.set(`rl:day:${i}`, 1, 'PX', 86_400_000);
      full = (await flood.exec()).some(([error]) => error?.message.startsWith('OOM'));
    }
    console.log(await redis.get('rl:api:ann'), (await store.increment('ann')).totalHits);
    console.log(await redis.get('rl:api:ann'), lines.length);
    redis.disconnect();
    stop.abort();
    """,
    )
    assert seen == then


BOUNDED = """
import { BoundedStore } from './rate-limiting/memory.mjs';
const hits = async (store, key) => (await store.increment(key)).totalHits;
"""


def test_a_flood_of_addresses_takes_neither_the_memory_nor_a_counter():
    seen = node.evaluate(
        BOUNDED
        + """
    const store = new BoundedStore({ keys: 3 });
    store.init({ windowMs: 60_000 });
    for (const key of ['ann', 'ann', 'bob', 'eve']) await hits(store, key);
    for (let i = 0; i < 1000; i += 1) await hits(store, `bot ${i}`);
    console.log(store.current.size + store.previous.size); // three and the rest
    console.log(await hits(store, 'ann'), await hits(store, 'zoe'));
    await store.decrement('bot 7'); // it was counted with the rest
    console.log(await hits(store, 'zoe'), store.current.size);
    store.clearExpired(); // a window is over: who does not come again goes
    console.log(await hits(store, 'ann'), await hits(store, 'new'));
    store.clearExpired();
    console.log(await hits(store, 'new'), store.current.size + store.previous.size);
    """
    ).stdout
    assert seen.splitlines() == ["4", "3 1001", "1001 4", "4 1002", "1 3"]


@pytest.mark.parametrize("snippet", ["api.mjs", "login.mjs", "shared.mjs"])
def test_every_limiter_that_counts_in_memory_has_a_bound_by_default(snippet):
    seen = node.evaluate(
        f"""
    import {{ MemoryStore }} from 'express-rate-limit';
    const used = new Set();
    const {{ init }} = MemoryStore.prototype;
    MemoryStore.prototype.init = function (options) {{
      used.add(this.constructor.name);
      init.call(this, options);
    }};
    const {{ createApp, stores }} = await import('./{TOPIC}/{snippet}');
    if (createApp) createApp();
    else (await stores())('api').init({{ windowMs: 60_000 }});
    console.log(...used);
    """
    ).stdout
    assert seen == "BoundedStore\n"


# --- no address -----------------------------------------------------------------------

UNIX_SOCKET = """
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { createApp as api } from './rate-limiting/api.mjs';
import { createApp as login } from './rate-limiting/login.mjs';
const [path] = %s;
async function ask(app, count, { from, ...options }) {
  const server = createServer(app).listen(path);
  await once(server, 'listening');
  const codes = [];
  for (let i = 0; i < count; i += 1) {
    const headers = { 'Content-Type': 'application/json' };
    if (from) headers['X-Forwarded-For'] = from(i);
    const asked = request({ socketPath: path, headers, agent: false, ...options });
    asked.end(options.method && JSON.stringify({ email: 'ann@shop.test', password: 'x' }));
    const [answer] = await once(asked, 'response');
    await once(answer.resume(), 'end');
    codes.push(answer.statusCode);
  }
  server.close();
  return codes.join(' ');
}
const products = { path: '/products' };
const guess = { path: '/login', method: 'POST' };
const check = async () => false;
"""


def over_a_unix_socket(tmp_path, text: str) -> list[str]:
    start = UNIX_SOCKET % json.dumps([str(tmp_path / "s")])
    return node.evaluate(start + text).stdout.splitlines()


def test_clients_without_an_address_share_a_counter_and_get_an_answer(tmp_path):
    seen = over_a_unix_socket(
        tmp_path,
        """
    console.log(await ask(api({ limit: 3 }), 5, products));
    console.log(await ask(login({ check }), 7, guess));
    """,
    )
    assert seen == ["200 200 200 429 429", "401 401 401 401 401 429 429"]


def test_a_proxy_on_a_unix_socket_is_trusted_by_its_having_no_address(tmp_path):
    seen = over_a_unix_socket(
        tmp_path,
        """
    const proxies = (address) => address === undefined;
    const own = (i) => `203.0.113.${i % 2}`;
    console.log(await ask(api({ limit: 2, proxies }), 6, { ...products, from: own }));
    const claims = (i) => `198.51.100.${i}, 203.0.113.7`; // the proxy's is the last
    console.log(await ask(api({ limit: 2, proxies }), 4, { ...products, from: claims }));
    """,
    )
    assert seen == ["200 200 200 200 429 429", "200 200 429 429"]


def test_who_hangs_up_before_the_limiter_is_counted_and_is_no_error():
    seen = node.evaluate(
        """
    import express from 'express';
    import { EventEmitter, once } from 'node:events';
    import { connect } from 'node:net';
    import { createApp } from './rate-limiting/api.mjs';
    const products = { list: async () => { console.log('listed'); return []; } };
    const app = express();
    const ended = new EventEmitter();
    app.use(async (req, res, next) => { // it awaits something, say a session
      if (req.query.gone) await once(req.socket, 'close');
      const { end } = res;
      res.end = (...args) => { ended.emit('answer'); return end.apply(res, args); };
      next();
    });
    app.use(createApp({ limit: 1, products }));
    app.use((error, req, res, next) => console.log(error.name));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    for (let i = 0; i < 3; i += 1) {
      const hasty = connect(port, '127.0.0.1');
      hasty.write('GET /products?gone=1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
      await once(server, 'request');
      const answered = once(ended, 'answer');
      hasty.destroy();
      await answered;
    }
    const answer = await fetch(`http://127.0.0.1:${port}/products`);
    console.log(answer.status); // an address of its own, and nothing was used of it
    server.close();
    server.closeAllConnections();
    """
    ).stdout
    assert seen.splitlines() == ["listed", "listed", "200"]


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


# --- browsers of another origin ---------------------------------------------------------

ORDERS = """
import express from '%s';
import { createApp as limited } from '%s';
import { crossOrigin } from '%s';
export function createApp() {
  const limiter = limited({ limit: 1 });
  const cors = crossOrigin([%s]);
  return express().use(%s).get('/orders', (req, res) => res.json([]));
}
"""
ASK = """async (url) => {
  const plain = {};
  const preflighted = { headers: { Authorization: 'Bearer of' } };
  const seen = [];
  for (const options of [plain, plain, preflighted]) {
    const answer = await fetch(url, options).catch((error) => error.message);
    const wait = answer.headers?.get('Retry-After');
    seen.push(answer.status ? [answer.status, wait !== null] : answer);
  }
  return seen;
}"""


@pytest.mark.parametrize(
    ("order", "seen"),
    [
        ("cors, limiter", [[200, False], [429, True], [429, True]]),
        ("limiter, cors", [[200, False], "Failed to fetch", "Failed to fetch"]),
    ],
)
def test_a_browser_reads_a_refusal_only_if_cors_stands_above_the_limiter(
    chromium, tmp_path, order, seen
):
    files = ("node_modules/express/index.js", f"{TOPIC}/api.mjs", "rest-apis/cors.mjs")
    uris = [node.resolve(file).as_uri() for file in files]
    with node.serve(f"{TOPIC}/api.mjs") as shop, contextlib.ExitStack() as stack:
        (path := tmp_path / "orders.mjs").write_text(
            ORDERS % (*uris, json.dumps(shop.url), order)
        )
        api = stack.enter_context(node.serve(path))
        page = stack.enter_context(contextlib.closing(chromium.new_page()))
        page.goto(f"{shop.url}/health")  # any page, of another origin
        assert page.evaluate(ASK, f"{api.url}/orders") == seen


# --- slow clients -------------------------------------------------------------------


@pytest.mark.claim("rate-limiting/headers-timeout-stops-slowloris")
def test_slow_headers_hold_a_server_until_its_checker_comes_round():
    assert output("slowloris.mjs") == [
        "defaults: 0 of 50 ended, 0 seen by the app,",
        "  the next client is turned away",
        "headersTimeout alone: 0 of 50 ended, 0 seen by the app,",
        "  the next client is turned away",
        "and the checker: 50 of 50 ended, 0 seen by the app,",
        "  the next client is served",
    ]


@pytest.mark.claim("rate-limiting/headers-timeout-stops-slowloris")
def test_slow_headers_are_ended_late_when_the_checker_comes_round():
    seen = node.evaluate(
        """
    import { createServer } from 'node:http';
    import { connect } from 'node:net';
    console.log(createServer().connectionsCheckingInterval);
    const times = { headersTimeout: 200, connectionsCheckingInterval: 2000 };
    const server = createServer(times).listen(0, '127.0.0.1', () => {
      setTimeout(() => console.log('still open'), 1000);
      const slow = connect(server.address().port, '127.0.0.1');
      slow.write('GET / HTTP/1.1\\r\\nX-Slow: ');
      slow.on('data', (answer) => console.log(`${answer}`.split('\\r')[0]));
      slow.on('close', () => server.close());
    });
    """
    ).stdout
    assert seen.splitlines() == [
        "30000",
        "still open",
        "HTTP/1.1 408 Request Timeout",
    ]


def test_slow_headers_are_ended_with_408_and_so_are_slow_bodies(tmp_path):
    # the defaults of slow.mjs, smaller
    path = tmp_path / "slow.mjs"
    target = node.resolve(f"{TOPIC}/slow.mjs").as_uri()
    path.write_text(
        f"import {{ serverOf }} from '{target}';\n"
        "const app = (req, res) => req.resume().on('end', () => res.end());\n"
        "const limits = { headersTimeout: 500, requestTimeout: 1000 };\n"
        "const server = serverOf(app, limits).listen(process.env.PORT, '127.0.0.1',\n"
        "  () => console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => server.close());\n"
    )
    slow = [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow:",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
    ]
    with node.serve(path) as server:
        for text in slow:
            with socket.create_connection(("127.0.0.1", server.port), 10) as held:
                held.sendall(text)
                assert held.recv(100).startswith(b"HTTP/1.1 408")


def test_the_checkers_interval_is_read_when_the_server_begins_to_listen():
    seen = node.evaluate(
        """
    import { once } from 'node:events';
    import { createServer } from 'node:http';
    import { connect } from 'node:net';
    for (const when of ['before', 'after']) {
      const server = createServer({ headersTimeout: 200 });
      if (when === 'before') server.connectionsCheckingInterval = 100;
      await once(server.listen(0, '127.0.0.1'), 'listening');
      if (when === 'after') server.connectionsCheckingInterval = 100;
      const held = connect(server.address().port, '127.0.0.1').on('error', () => {});
      held.resume().write('GET / HTTP/1.1\\r\\n');
      const late = new Promise((resolve) => setTimeout(resolve, 2500, 'open'));
      const ended = once(held, 'close').then(() => 'ended');
      console.log(when, await Promise.race([ended, late]));
      held.destroy();
      server.close();
    }
    """
    ).stdout
    assert seen.splitlines() == ["before ended", "after open"]


@pytest.mark.claim("rate-limiting/stops-ddos")
def test_a_limiter_never_sees_two_hundred_connections_that_do_not_finish_a_request(
    module,
):
    with node.serve(module("api.mjs", "limit: 10")) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                held = socket.create_connection(("127.0.0.1", server.port), 5)
                stack.enter_context(held).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            with server.client() as c:  # from the same address
                assert "; r=9; " in c.get("/products").headers["RateLimit"]


def test_nginx_keeps_slow_headers_to_itself(nginx_proxy, tmp_path):
    path = tmp_path / "count.mjs"
    path.write_text(
        "import { createServer } from 'node:http';\n"
        "let connections = 0;\n"
        "const server = createServer((req, res) => res.end(`${connections}`));\n"
        "server.on('connection', () => { connections += 1; });\n"
        "server.listen(process.env.PORT, '127.0.0.1', () =>\n"
        "  console.log(`listening on http://127.0.0.1:${server.address().port}`));\n"
        "process.once('SIGTERM', () => server.close());\n"
    )
    with node.serve(path) as server:
        proxy = nginx_proxy(server.url)
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                held = socket.create_connection(("127.0.0.1", proxy.port), 5)
                stack.enter_context(held).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            with client(proxy.url) as c:
                assert c.get("/").text == "1"  # its own


# --- being refused ------------------------------------------------------------------

RETRY = """
import { fetchPatiently } from './rate-limiting/retry.mjs';
const url = 'http://shop.test/';
const events = []; // what was sent and waited, in its order
function answers(...list) { // a status, or a status and its Retry-After
  events.length = 0;
  globalThis.fetch = async (...args) => {
    events.push('sent');
    const [status, told] = [list[0]].flat();
    if (list.length > 1) list.shift();
    const headers = told === undefined ? {} : { 'Retry-After': told };
    return new Response('the answer', { status, headers });
  };
}
async function sleep(ms) {
  await new Promise(setImmediate); // whoever does not wait for it is seen
  events.push(Math.round(ms));
}
const options = { random: () => 0.5, sleep };
async function ask(more, target = url) {
  const answer = await fetchPatiently(target, { ...options, ...more });
  console.log(answer.status, await answer.text(), events.join());
}
"""


def retried(text: str) -> list[str]:
    return node.evaluate(RETRY + text).stdout.splitlines()


def test_a_client_waits_as_long_as_it_is_told_and_a_random_time_more():
    seen = retried(
        """
    answers([429, '30'], 503, 503, 200);
    await ask();
    answers([429, '0']);
    await ask({ tries: 2 });
    answers(503);
    await ask({ tries: '2' }); // from an environment
    await ask({ tries: NaN });
    answers(503);
    await ask({ tries: 9 });
    """
    )
    assert seen == [
        # 30 s and half of 2; nothing was said: 2 s and half of 4, 4 s and half of 8
        "200 the answer sent,31000,sent,4000,sent,8000,sent",
        "429 the answer sent,1000,sent",
        "503 the answer sent,2000,sent",
        "503 the answer sent,2000,sent,sent",
        "503 the answer sent,2000,sent,4000,sent,8000,sent,16000"
        + ",sent,30000" * 4
        + ",sent",
    ]


def test_retry_after_may_be_a_date_and_what_is_neither_is_as_if_nothing_was_said():
    seen = retried(
        """
    const start = Date.UTC(2026, 0, 1);
    Date.now = () => start;
    for (const told of [
      new Date(start + 20_000).toUTCString(),
      new Date(start - 20_000).toUTCString(), // a clock that is late
      '', '-5', '1e9', 'soon', '2 January 2026',
    ]) {
      answers([503, told], 200);
      await ask();
    }
    """
    )
    waited = [int(line.split(",")[1]) for line in seen]
    assert waited == [21000, 1000] + [2000] * 5


def test_a_wait_that_is_too_long_is_given_back_and_not_cut_short():
    seen = retried(
        """
    answers([429, '60'], 200);
    await ask();
    for (const told of ['61', '1000000000', '9'.repeat(400)]) {
      answers([429, told], 200);
      await ask();
    }
    answers([429, '61'], 200);
    await ask({ most: 61 });
    """
    )
    assert seen == [
        "200 the answer sent,61000,sent",
        *["429 the answer sent"] * 3,
        "200 the answer sent,62000,sent",
    ]


def test_only_what_may_be_said_twice_is_repeated():
    seen = retried(
        """
    const once = { method: 'POST', headers: { 'idempotency-key': 'one' }, body: '{}' };
    const stream = () => new Blob(['x']).stream();
    async function* parts() { yield 'x'; }
    for (const [target, request] of [
      [url, {}], [url, { method: 'HEAD' }], [url, { method: 'put', body: '{}' }],
      [url, { method: 'DELETE' }], [url, once], [new Request(url), {}],
      [new Request(url, { ...once, body: null }), {}],
      [url, { method: 'POST', body: '{}' }], [url, { method: 'PATCH', body: '{}' }],
      [url, { method: 'PUT', body: stream() }], [url, { method: 'PUT', body: parts() }],
      [url, { ...once, body: stream() }], [new Request(url, { method: 'POST' }), {}],
      [new Request(url, { method: 'PUT', body: '{}' }), {}],
    ]) {
      answers([503, '1'], 200);
      await ask(request, target);
    }
    """
    )
    assert seen == [
        *["200 the answer sent,2000,sent"] * 7,
        *["503 the answer sent"] * 7,  # the refusal, whole, and no error
    ]


def test_a_broken_body_is_no_reason_to_give_up_and_an_abort_is():
    seen = retried(
        """
    const { setTimeout: wait } = await import('node:timers/promises');
    function cancel() { // or the connection would stay in use
      events.push('cancelled');
      throw new Error('it broke');
    }
    answers(200);
    const next = globalThis.fetch;
    let first = new Response(new ReadableStream({ cancel }), { status: 503 });
    globalThis.fetch = async () => {
      const answer = first ?? (await next());
      first = null;
      return answer;
    };
    await ask();
    answers([503, '30']);
    const stop = new AbortController();
    const patient = (...args) => {
      stop.abort(new Error('enough'));
      return wait(...args); // half a minute
    };
    const { signal } = stop;
    const answer = fetchPatiently(url, { ...options, signal, sleep: patient });
    console.log(await answer.catch((error) => error.cause.message), events.join());
    """
    )
    assert seen == ["200 the answer cancelled,2000,sent", "enough sent"]


@pytest.mark.timing
def test_the_time_of_an_answer_tells_the_naive_logins_accounts(module):
    """Ratio of the median time for a known and for an unknown account."""
    users = USERS.replace("N: 1024", "N: 2 ** 14")
    for snippet, name, bounds in (
        ("login.naive.mjs", "enumeration-naive", {"above": 4}),
        ("login.mjs", "enumeration-hardened", {"above": 0.4, "below": 2.5}),
    ):
        deps = "users, N: 2 ** 14, max: Infinity"
        path = module(snippet, deps, users, name)
        ratios = []
        for _ in range(3):
            took = {ANN["email"]: [], "nobody": []}
            with node.serve(path) as server, server.client() as c:
                for n in range(4):
                    for email, times in took.items():
                        body = {"email": email, "password": "wrong horse"}
                        answer = c.post("/login", json=body)
                        assert answer.status_code == 401
                        if n:  # the first pays for the route's start-up
                            times.append(answer.elapsed.total_seconds())
            known, unknown = map(statistics.median, took.values())
            ratios.append(known / unknown)
        evidence.hold(
            f"{TOPIC}/{name}",
            ratios,
            "×",
            "time of a failed login, account known against unknown, "
            + snippet.removesuffix(".mjs"),
            source=SOURCE,
            **bounds,
        )
