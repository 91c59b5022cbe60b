"""What a browser lets another site's page do: frames, forms, cookies."""

import json

import pytest

from .shared import (
    TWINS,
    hosts,
    order,
    package,
)


@pytest.mark.claim("hardening/samesite-stops-clickjacking", verdict="depends")
@TWINS
def test_in_chromium_a_sibling_hosts_page_frames_the_naive_app_and_a_click_cancels(
    site, snippet
):
    naive = "naive" in snippet
    with site(snippet) as (page, host):
        assert "for cus_ann" in order(page, host)
        target = f"{host('shop.test')}/orders/ord_1"
        seen = {}
        for name in ("evil.test", "blog.shop.test"):
            page.goto(f"{host(name)}/frame?url={target}", wait_until="load")
            frame = page.frames[1]
            shown = frame.evaluate("document.body?.innerText ?? ''") if naive else ""
            seen[name] = (frame.url == target, "for cus_ann" in shown)
            if naive and name == "blog.shop.test":
                with page.expect_response(lambda one: one.request.method == "POST"):
                    frame.click("#cancel")
        # framed, and with the user's cookie in it
        if naive:
            assert seen == {"evil.test": (True, False), "blog.shop.test": (True, True)}
        else:
            assert not any(framed for framed, _ in seen.values())
        assert ("cancelled" in order(page, host)) is naive


@pytest.mark.claim("hardening/csrf-needs-a-token", verdict="depends")
@TWINS
def test_in_chromium_another_pages_form_cancels_an_order_of_the_naive_app(site, snippet):
    naive = "naive" in snippet
    with site(snippet) as (page, host):
        target = f"{host('shop.test')}/orders/ord_1/cancellation"
        for name in ("blog.shop.test", "evil.test"):
            page.goto(f"{host(name)}/form?url={target}")
            with page.expect_response(lambda one: one.request.method == "POST") as sent:
                page.click("#go")
            # Lax spares the naive app nothing: the cookie is younger than two minutes
            assert sent.value.status == (302 if naive else 403), name
        order(page, host)
        if not naive:
            with page.expect_response(lambda one: one.request.method == "POST") as sent:
                page.click("#cancel")
            assert sent.value.status == 303  # its own form


def test_in_chromium_lax_goes_with_another_sites_get_form_and_nothing_else_of_it(site):
    with site("app.mjs") as (page, host):
        target = f"{host('shop.test')}/orders/ord_1"

        def cookie(method: str, do) -> str:
            with page.expect_request(
                lambda one: (one.method, one.url.split("?")[0]) == (method, target)
            ) as sent:
                do()
            sent.value.response()  # its headers are known by then
            return sent.value.all_headers().get("cookie", "").split("=")[0]

        page.goto(f"{host('evil.test')}/visit?url={target}")
        assert cookie("GET", lambda: page.click("#go")) == "__Host-session"
        page.wait_for_url(f"{target}?")
        assert "for cus_ann" in page.inner_text("body")
        page.goto(f"{host('evil.test')}/form?url={target}")
        assert cookie("POST", lambda: page.click("#go")) == ""
        framed = f"{host('evil.test')}/frame?url={target}"
        assert cookie("GET", lambda: page.goto(framed)) == ""
        ask = "(to) => fetch(to, { mode: 'no-cors', credentials: 'include' }).catch(() => 0)"
        assert cookie("GET", lambda: page.evaluate(ask, target)) == ""


STRICT = """
import express from '{express}';
export function createApp() {{
  const app = express();
  const strict = {{ sameSite: 'strict', secure: true }};
  app.get('/login', (req, res) => res.cookie('sid', 'ann', strict).sendStatus(204));
  app.get('/', (req, res) =>
    res.send(`<p>${{req.headers.cookie ?? 'nobody'}}</p><a id=on href="/?on">on</a>`));
  return app;
}}
"""


def test_in_chromium_a_strict_cookie_is_missing_from_one_visit_by_another_sites_link(
    named_hosts, tmp_path
):
    path = tmp_path / "strict.mjs"
    path.write_text(STRICT.format(express=package("express")))
    with hosts(named_hosts, tmp_path, path) as (page, host):
        shop = host("shop.test")
        page.goto(shop)
        page.evaluate("fetch('/login')")
        page.goto(shop)  # as from a bookmark, or from a mail program: no site asks
        assert page.inner_text("p") == "sid=ann"
        seen = []
        for site in ("evil.test", "blog.shop.test"):  # webmail, say, and a sibling
            page.goto(f"{host(site)}/visit?url={shop}/")
            page.click("#go")
            page.wait_for_url(f"{shop}/?")
            seen.append(page.inner_text("p"))
            page.click("#on")
            page.wait_for_url(f"{shop}/?on")
            assert page.inner_text("p") == "sid=ann"  # the next one has it
        assert seen == ["nobody", "sid=ann"]


@TWINS
def test_in_chromium_a_script_reads_the_naive_apps_cookie(site, snippet):
    with site(snippet) as (page, host):
        order(page, host)
        cookie = page.evaluate("document.cookie")
        assert ("sid=" in cookie) is ("naive" in snippet)
        assert "session" not in cookie
        assert any("s" in one["name"] for one in page.context.cookies())


ORIGIN = """
import express from '{express}';
import helmet from '{helmet}';
export function createApp() {{
  const app = express();
  app.use(helmet({{ referrerPolicy: {policy}, contentSecurityPolicy: false }}));
  app.get('/', (req, res) => res.send('<form method=post><button id=go>Go</form>'));
  app.post('/', (req, res) => res.json({{
    origin: req.get('Origin'), site: req.get('Sec-Fetch-Site') }}));
  return app;
}}
"""


@pytest.mark.claim("hardening/origin-check-with-helmet", verdict="depends")
def test_in_chromium_helmets_referrer_policy_makes_our_own_forms_origin_null(
    named_hosts, tmp_path
):
    seen = {}
    for policy in ("undefined", "{ policy: 'same-origin' }"):
        path = tmp_path / "origin.mjs"
        names = {name: package(name) for name in ("express", "helmet")}
        path.write_text(ORIGIN.format(policy=policy, **names))
        with hosts(named_hosts, tmp_path, path) as (page, host):
            page.goto(host("shop.test"))
            with page.expect_navigation():
                page.click("#go")
            told = json.loads(page.inner_text("body"))
            assert told["site"] == "same-origin"
            seen[policy] = told["origin"].split(":")[0]
            # what fetch() sends has its origin either way
            told = page.evaluate("fetch('/', { method: 'POST' }).then((a) => a.json())")
            assert told["origin"] == host("shop.test")
    assert list(seen.values()) == ["null", "https"]
