"""Browsers of another origin, also in front of a limiter."""

import contextlib
import json
from pathlib import Path

import pytest

from lab.run import browser, node

from .shared import HARDENED, MUGS, NAIVE, ORDER, WHO, Users, at, place, problem

# --- together with the limiter ------------------------------------------------------


COMPOSED = """
import express from '{express}';
import {{ createApp as limited }} from '{limiter}';
import {{ crossOrigin }} from '{cors}';
import {{ createApp as orders }} from '{orders}';
{who}
export function createApp({{ origins = ["https://shop.test"], ...deps }}) {{
  const above = [crossOrigin(origins), limited({{ limit: 3 }})];
  return express().use({above}).use(orders({{ authenticate, ...deps }}));
}}
"""


@pytest.fixture
def composed(tmp_path):
    """Writes the orders below the limiter, and CORS above both; or below the limiter."""

    def write(above: str = "above") -> Path:
        path = tmp_path / "composed.mjs"
        path.write_text(
            COMPOSED.format(
                express=node.resolve("node_modules/express/index.js").as_uri(),
                limiter=node.uri("rate-limiting/api.mjs"),
                cors=node.uri("rest-apis/cors.mjs"),
                orders=node.uri("rest-apis/orders.mjs"),
                who=WHO,
                above=above,
            )
        )
        return path

    return write


def test_behind_the_limiter_of_its_chapter_the_fourth_request_is_a_429_and_no_order(
    composed,
):
    with node.serve(composed()) as server:
        with contextlib.closing(Users(server)) as users:
            first = place(users.ann)
            assert first.status_code == 201
            assert first.headers["RateLimit"].startswith('"3-in-1min"; r=2;')
            url = first.headers["Location"]
            assert users.ann.get(url).json() == first.json()
            assert users.ann.put(url, json=MUGS, headers=at(1)).status_code == 200
            for refused in (
                place(users.ann),
                users.ann.delete(url, headers=at(2)),
                users.nobody.post("/orders", content="{"),
            ):
                assert problem(refused, 429)["title"] == "Too Many Requests"
                assert refused.headers["RateLimit"].startswith('"3-in-1min"; r=0;')
                assert int(refused.headers["Retry-After"]) > 0
            # probes are above it, and one order is still all there is
            assert users.nobody.get("/health").status_code == 200
            assert server.alive()


def test_the_limiter_leaves_the_orders_alone(tmp_path):
    shop = f"""
    import express from 'express';
    import {{ createApp as limited }} from '{node.uri("rate-limiting/api.mjs")}';
    import {{ createApp as orders }} from '{node.uri("rest-apis/orders.mjs")}';
    import {{ createStore }} from '{node.uri("rest-apis/store.mjs")}';
    const store = createStore();
    const authenticate = () => ({{ id: 'ann' }});
    const server = express().use(limited({{ limit: 2 }}))
      .use(orders({{ authenticate, store }})).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const codes = [];
    for (let i = 0; i < 5; i += 1) {{
      const url = `http://127.0.0.1:${{server.address().port}}/orders`;
      const headers = {{ 'Content-Type': 'application/json', 'Idempotency-Key': `k${{i}}` }};
      const body = JSON.stringify({json.dumps(ORDER)});
      codes.push((await fetch(url, {{ method: 'POST', headers, body }})).status);
    }}
    server.close();
    server.closeAllConnections();
    const all = await store.of('ann').list({{ sort: 'created', limit: 9 }});
    console.log(codes.join(), all.length);
    """
    assert node.evaluate(shop).stdout.strip() == "201,201,429,429,429 2"


# --- browsers -----------------------------------------------------------------------

# shop.test and evil.test each serve a page; api.shop.test is the API, and its login
# is a cookie, so that the browser sends it by itself
HOSTS = """
import {{ createServer }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ createApp as create }} from '{app}';
let asked = [];
const authenticate = (req) => {{
  if (!/session=ann/.test(req.headers.cookie ?? '')) return null;
  if (req.url.startsWith('/orders')) asked.push(req.method);
  return {{ id: 'ann' }};
}};
let api;
const pem = readFileSync('{tls}');
const server = createServer({{ key: pem, cert: pem }}, (req, res) => {{
  if (req.url === '/asked') {{
    res.end(JSON.stringify(asked));
    asked = [];
  }} else if (req.url === '/login') {{
    res.setHeader('Set-Cookie', 'session=ann; Secure; HttpOnly; SameSite=None; Path=/');
    res.end('in');
  }} else if (req.headers.host.startsWith('api.')) api(req, res);
  else res.setHeader('Content-Type', 'text/html').end('<title>a page</title>');
}});
server.listen(process.env.PORT, '127.0.0.1', () => {{
  const {{ port }} = server.address();
  api = create({{ authenticate, origins: [`https://shop.test:${{port}}`] }});
  console.log(`listening on http://127.0.0.1:${{port}}`);
}});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
"""

FETCH = """async ([url, options]) => {
  try {
    const answer = await fetch(url, { credentials: 'include', ...options });
    return { status: answer.status, text: await answer.text(),
             etag: answer.headers.get('ETag'), limit: answer.headers.get('RateLimit'),
             after: answer.headers.get('Retry-After') };
  } catch (error) { return { error: error.name }; }
}"""


@pytest.fixture
def visit(named_hosts, tmp_path):
    """Serves shop.test, evil.test and the API over TLS; gives `visit(host)`: a page
    there, of a browser that is logged in; `fetch` from it; and what was asked."""
    tls = browser.certificate(tmp_path, "shop.test", "api.shop.test", "evil.test")

    @contextlib.contextmanager
    def serve(app: str):
        path = tmp_path / "hosts.mjs"
        path.write_text(HOSTS.format(app=app, tls=tls))
        with node.serve(path) as server, browser.visitor(named_hosts()) as page:
            api = f"https://api.shop.test:{server.port}"
            page.goto(f"{api}/login")

            def visit(host: str, method: str = "GET", **options):
                page.goto(f"https://{host}:{server.port}/")
                return page.evaluate(
                    FETCH, [f"{api}/orders", {"method": method, **options}]
                )

            def asked():
                return json.loads(page.goto(f"{api}/asked").text())

            yield visit, asked

    return serve


def test_in_a_browser_the_list_of_origins_decides_who_reads(visit):
    with visit(node.uri(f"rest-apis/{HARDENED}")) as (fetch, asked):
        assert fetch("shop.test")["status"] == 200
        assert asked() == ["GET"]
        assert fetch("evil.test") == {"error": "TypeError"}  # it reads nothing

        kind = {"Content-Type": "application/json", "Idempotency-Key": "a-1"}
        post = {"method": "POST", "headers": kind, "body": json.dumps(ORDER)}
        asked()
        assert fetch("evil.test", **post) == {"error": "TypeError"}
        assert asked() == []  # its preflight failed: nothing was sent
        mine = fetch("shop.test", **post)
        assert (mine["status"], mine["etag"]) == (201, '"1"')
        assert asked() == ["POST"]


@pytest.mark.claim("rest-apis/cors-protects", verdict="wrong")
def test_in_a_browser_a_request_without_preflight_is_executed_all_the_same(visit):
    with visit(node.uri(f"rest-apis/{HARDENED}")) as (fetch, asked):
        assert fetch("evil.test") == {"error": "TypeError"}
        assert asked() == ["GET"]  # with Ann's cookie; the answer was thrown away
        plain = {"method": "POST", "body": json.dumps(ORDER)}  # text/plain
        assert fetch("evil.test", **plain) == {"error": "TypeError"}
        assert asked() == ["POST"]
        found = json.loads(fetch("shop.test")["text"])
        assert found["items"] == []  # what saved it: 415, and not CORS


def test_in_a_browser_the_naive_api_is_any_sites(visit):
    with visit(node.uri(f"rest-apis/{NAIVE}")) as (fetch, asked):
        kind = {"Content-Type": "application/json"}
        post = {"method": "POST", "headers": kind, "body": json.dumps(ORDER)}
        assert fetch("evil.test", **post)["status"] == 201
        assert json.loads(fetch("evil.test")["text"])[0]["customer"] == "ann"
        assert asked() == ["POST", "GET"]


@pytest.mark.parametrize(
    "above", ["above", "above.toReversed()"], ids=["CORS", "limiter"]
)
def test_in_a_browser_a_429_can_be_read_if_cors_stands_above_the_limiter(
    visit, composed, above
):
    with visit(composed(above).as_uri()) as (fetch, _):
        for _ in range(4):  # three are free
            answer = fetch("shop.test")
        if above == "above":
            assert answer["status"] == 429
            assert answer["limit"].startswith('"3-in-1min"; r=0;')
            assert int(answer["after"]) > 0
        else:
            assert answer == {"error": "TypeError"}


@pytest.mark.parametrize(
    ("above", "left"), [("above", 2), ("above.toReversed()", 0)], ids=["CORS", "limiter"]
)
def test_preflights_use_up_the_limit_unless_cors_stands_above_it(composed, above, left):
    ask = {"Access-Control-Request-Method": "PUT", "Origin": "https://shop.test"}
    with node.serve(composed(above)) as server, server.client() as client:
        for _ in range(2):
            client.options("/orders", headers=ask)
        limit = client.get("/orders").headers["RateLimit"]
        assert limit.startswith(f'"3-in-1min"; r={left};')


def test_what_is_no_origin_is_refused_when_the_app_is_made():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{node.uri("rest-apis/orders.mjs")}';
    for (const origins of [['*'], ['null'], ['https://shop.test/'], ['shop.test'],
        [/shop/], 'https://shop.test', ['https://shop.test', 'https://SHOP.test']]) {{
      try {{ createApp({{ origins }}); }} catch (error) {{ console.log(error.name); }}
    }}
    createApp({{ origins: ['https://shop.test:8443', 'http://localhost:3000'] }});
    """
    ).stdout
    assert seen.split() == ["TypeError"] * 7


@pytest.mark.claim("rest-apis/preflight-has-no-credentials", verdict="right")
def test_a_preflight_needs_no_token_and_names_no_stranger(api):
    ask = {"Access-Control-Request-Method": "PUT"}
    with api(deps="origins: ['https://shop.test']") as users:
        for origin in (
            "https://shop.test",
            "https://evil.test",
            "https://shop.test.evil.test",
            "http://shop.test",
            "null",
        ):
            answer = users.nobody.options("/orders", headers={**ask, "Origin": origin})
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert answer.status_code == 204
            assert allowed == (origin if origin == "https://shop.test" else None)
            assert "Origin" in answer.headers["Vary"]
        for user in (users.ann, users.nobody):  # also who is refused may read why
            read = user.get("/orders", headers={"Origin": "https://shop.test"})
            assert read.headers["Vary"] == "Origin, Authorization"
            allowed = read.headers["Access-Control-Allow-Origin"]
            assert allowed == "https://shop.test"
            shown = read.headers["Access-Control-Expose-Headers"].split(",")
            assert {"ETag", "Location", "Retry-After", "RateLimit"} <= set(shown)
    with api() as users:  # and with no origins there is none
        answer = users.nobody.options("/orders", headers={**ask, "Origin": "null"})
        assert "Access-Control-Allow-Origin" not in answer.headers
