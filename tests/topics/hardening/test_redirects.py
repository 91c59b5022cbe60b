"""Where a redirect may lead."""

import json
from urllib.parse import urlencode

import pytest

from lab.run import node

from .shared import ANN, BEHIND, TWINS, Visitor, ran

# --- redirects ----------------------------------------------------------------------

TARGETS = [
    "https://evil.test/", "//evil.test/", "/\\evil.test/", "https:evil.test",
    "\t//evil.test", "/\t/evil.test/", "javascript:alert(1)",
    "javascript://shop.test/%0aalert(1)", "data:text/html,x", "https://shop.test@evil.test/",
    "https://shop.test.evil.test/", "http://shop.test/", "//shop.test:8443/",
    "blob:https://shop.test/x", "/x/..//evil.test/", "/.//evil.test/", "", "\\\\evil.test",
    "//[", "//a:99999/",
]  # fmt: skip


def destinations(snippet: str, ours: str) -> dict[str, str | None]:
    return json.loads(
        node.printed(f"""
    import {{ destination }} from '{node.uri("hardening/" + snippet)}';
    const targets = {json.dumps(TARGETS)};
    const all = targets.map((one) => [one, destination(one, '{ours}')]);
    console.log(JSON.stringify(Object.fromEntries(all)));
    """)
    )


@pytest.mark.claim("hardening/host-check-is-enough", verdict="wrong")
def test_a_check_of_the_host_takes_javascript_and_http_addresses():
    taken = {
        one for one, to in destinations("redirect.naive.mjs", "shop.test").items() if to
    }
    assert taken == {"javascript://shop.test/%0aalert(1)", "http://shop.test/"}
    hardened = destinations("redirect.mjs", "https://shop.test")
    assert len(hardened) == len(TARGETS)
    for target, to in hardened.items():
        assert to.startswith("https://shop.test/"), target
    # the path alone would have been the attacker's host again
    assert hardened["/x/..//evil.test/"] == "https://shop.test//evil.test/"
    assert hardened["//evil.test/"] == "https://shop.test/"


AS_IT_STANDS = """
import express from 'express';
const app = express();
app.use((req, res) => {
  try {
    if (new Url(req.query.url).host === 'example.com') return res.sendStatus(400);
  } catch {
    return res.status(400).end('Invalid url');
  }
  return res.redirect(req.query.url);
});
const server = app.listen(0, '127.0.0.1', async () => {
  for (const target of ['https://shop.test/', 'https://example.com/', 'nonsense']) {
    const { port } = server.address();
    const query = new URLSearchParams({ url: target });
    const answer = await fetch(`http://127.0.0.1:${port}/?${query}`, { redirect: 'manual' });
    console.log(answer.status, await answer.text());
  }
  server.close();
});
"""


@pytest.mark.claim("hardening/host-check-is-enough", verdict="wrong")
def test_as_its_page_has_it_the_check_refuses_every_address():
    done = node.evaluate(AS_IT_STANDS)
    assert done.stdout.splitlines() == ["400 Invalid url"] * 3


@pytest.mark.claim("hardening/host-check-is-enough", verdict="wrong")
def test_in_chromium_a_javascript_address_runs_in_a_link_and_not_by_location(
    site, forgotten
):
    address = "javascript://shop.test/%0aconsole.log('ran')"
    with forgotten("none") as (look, _, _):
        assert ran(look(f'<a id="go" href="{address}">on</a>'))
    with site("app.naive.mjs") as (page, host):
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"{host('shop.test')}/login?{urlencode({'next': address})}")
        page.fill("input[name=email]", ANN["email"])
        page.fill("input[name=password]", ANN["password"])
        with page.expect_event("requestfailed") as failed:
            page.click("button")
        assert failed.value.method == "POST"  # it ends where the redirect would begin
        assert not ran(said)


@TWINS
def test_after_the_login_the_naive_app_sends_people_to_another_site(twin, snippet):
    naive = "naive" in snippet
    with node.serve(twin(snippet, BEHIND)) as server:
        visitor = Visitor(server)
        for target in ("https://evil.test/", "//evil.test/"):
            to = visitor.post("/login", {**ANN, "next": target}).headers["Location"]
            assert to == (target if naive else "https://shop.test/orders")
        if not naive:  # no address at all
            sent = visitor.post("/login", {**ANN, "next": "//["})
            assert sent.headers["Location"] == "https://shop.test/orders"
