"""The limiter of an API: headers, several processes, other origins."""

import contextlib
import json

import pytest

from lab.run import node, services

from .shared import ATTACKER, OTHER, PROXY, TOPIC, served, workers

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


@pytest.mark.claim("rate-limiting/max-is-the-option", verdict="depends")
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


@pytest.mark.claim("rate-limiting/address-is-a-client", verdict="wrong")
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


@pytest.mark.claim("rate-limiting/updates-can-wait", verdict="wrong")
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


@pytest.mark.claim("rate-limiting/limit-is-the-limit", verdict="depends")
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


@pytest.mark.claim("rate-limiting/redis-makes-it-exact", verdict="depends")
def test_a_hundred_guesses_at_once_pass_a_counter_that_is_read_and_then_written(
    redis_server,
):
    assert race("counter.naive.mjs", redis_server) > 50
    redis_server.command("FLUSHALL")
    assert race("counter.mjs", redis_server) == 5
    assert 0 < redis_server.command("PTTL", "ann") <= 60_000


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


@pytest.mark.claim("rate-limiting/cors-above-the-limiter", verdict="right")
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
