"""Which headers are sent, and what Helmet's defaults leave open."""

import json
import re

import pytest

from lab.run import node

from .shared import ANN, BEHIND, BOB, Visitor, package

# --- headers ------------------------------------------------------------------------

HEADERS = """
import express from 'express';
import helmet from 'helmet';
import { once } from 'node:events';
const warned = [];
console.warn = (text) => warned.push(text);
async function headersOf(...middleware) {
  const app = express();
  if (middleware.length) app.use(...middleware);
  app.get('/', (req, res) => res.json({ ok: true }));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/`);
  server.close();
  server.closeAllConnections();
  return Object.fromEntries(answer.headers);
}
"""


def test_helmet_changes_thirteen_headers_twelve_of_them_by_setting():
    seen = node.printed(
        HEADERS
        + """
    console.log(JSON.stringify([await headersOf(), await headersOf(helmet())]));
    """
    )
    bare, helmeted = json.loads(seen)
    assert set(helmeted) - set(bare) == {
        "content-security-policy", "cross-origin-opener-policy",
        "cross-origin-resource-policy", "origin-agent-cluster", "referrer-policy",
        "strict-transport-security", "x-content-type-options", "x-dns-prefetch-control",
        "x-download-options", "x-frame-options", "x-permitted-cross-domain-policies",
        "x-xss-protection",
    }  # fmt: skip
    assert set(bare) - set(helmeted) == {"x-powered-by"}
    same = (set(bare) & set(helmeted)) - {"date"}
    assert all(bare[name] == helmeted[name] for name in same)


@pytest.mark.claim("hardening/hide-powered-by-set-to", verdict="wrong")
def test_set_to_is_ignored_and_only_one_of_two_spellings_says_so():
    seen = node.printed(
        HEADERS
        + """
    const fake = { setTo: 'PHP 4.2.0' };
    const seen = [
      await headersOf(helmet.hidePoweredBy(fake)),
      await headersOf(helmet({ hidePoweredBy: fake })),
    ];
    console.log(seen.map((one) => one['x-powered-by']).join(), warned.length);
    console.log(warned[0]);
    """
    )
    assert seen.splitlines() == [
        ", 1",
        "X-Powered-By does not take options. Remove the property to silence this warning.",
    ]


@pytest.mark.claim("hardening/helmet-secures", verdict="wrong")
def test_with_helmet_the_naive_app_falls_to_all_that_is_not_about_a_header(twin):
    path = twin("app.naive.mjs")
    path.write_text(f"""
import express from '{package("express")}';
import helmet from '{package("helmet")}';
import {{ createApp as naive }} from '{node.uri("hardening/app.naive.mjs")}';
import * as deps from './deps.mjs';
export function createApp() {{
  return express().use(helmet(), naive(deps));
}}
""")
    with node.serve(path) as server:
        bob = Visitor(server, BOB, **{"Sec-Fetch-Site": "cross-site"})
        assert "Content-Security-Policy" in bob.get("/orders").headers
        assert "ring twice" in bob.get("/orders/ord_1").text  # somebody else's
        assert bob.post("/orders/ord_1/cancellation").status_code == 302  # by any site
        script = "<script>alert(1)</script>"
        bob.post("/orders/ord_1/note", {"note": script})
        assert script in bob.get("/orders/ord_1").text
        away = bob.post("/login", {**BOB, "next": "https://evil.test/"})
        assert away.headers["Location"] == "https://evil.test/"
        assert "node_modules" in bob.get("/orders/unknown").text
        wrong = {**ANN, "password": "wrong"}
        guesses = [bob.post("/login", wrong).status_code for _ in range(50)]
        assert set(guesses) == {401}  # as often as you like


def test_the_nonce_is_another_in_each_answer_and_in_page_and_header_the_same(twin):
    with node.serve(twin("app.mjs", BEHIND)) as server:
        answers = [Visitor(server).get("/login") for _ in range(3)]
        policies = [one.headers["Content-Security-Policy"] for one in answers]
        nonces = [
            re.search(r"script-src 'nonce-([\w-]{22})'", one)[1] for one in policies
        ]
        assert len(set(nonces)) == 3
        for answer, nonce in zip(answers, nonces, strict=True):
            assert f'<style nonce="{nonce}">' in answer.text
            assert answer.headers["Cache-Control"] == "no-store"
        assert "'unsafe-inline'" not in policies[0]
        # minutes, and for this host alone: what is sent cannot be called back
        assert answers[0].headers["Strict-Transport-Security"] == "max-age=300"
        assert answers[0].headers["X-Frame-Options"] == "DENY"
    # hosts below and years each have to be asked for
    for hsts, sent in (
        ("{ maxAge: 63_072_000, includeSubDomains: true }",
         "max-age=63072000; includeSubDomains"),
        ("{ maxAge: 63_072_000 }", "max-age=63072000"),
        ("{ includeSubDomains: true }", "max-age=300; includeSubDomains"),
        ("true", "max-age=300"), ("false", None),
    ):  # fmt: skip
        with node.serve(twin("app.mjs", f"{BEHIND}, hsts: {hsts}")) as server:
            headers = Visitor(server).get("/login").headers
            assert headers.get("Strict-Transport-Security") == sent


def test_the_policy_by_nonce_allows_what_is_listed_and_nothing_else(twin):
    with node.serve(twin("app.mjs")) as server:
        policy = Visitor(server).get("/login").headers["Content-Security-Policy"]
    policy = re.sub(r"nonce-[\w-]{22}", "nonce", policy)
    assert dict(one.split(" ", 1) for one in policy.split(";")) == {
        "default-src": "'none'", "script-src": "'nonce'", "style-src": "'nonce'",
        "img-src": "'self'", "connect-src": "'self'", "form-action": "'self'",
        "base-uri": "'none'", "frame-ancestors": "'none'", "report-uri": "/csp-reports",
    }  # fmt: skip
