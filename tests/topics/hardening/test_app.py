"""The hardened app and its naive twin under the same requests."""

import re
from urllib.parse import unquote

import pytest

from lab.run import load, node

from .shared import ANN, BEHIND, BOB, TWINS, Visitor, exchange, javascript


@TWINS
def test_an_order_of_somebody_else_is_shown_and_cancelled_by_the_naive_app(twin, snippet):
    naive = "naive" in snippet
    with node.serve(twin(snippet, BEHIND)) as server:
        bob = Visitor(server, BOB)
        assert ("ring twice" in bob.get("/orders/ord_1").text) is naive
        assert ("ord_1" in bob.get("/orders").text) is naive
        cancelled = bob.post("/orders/ord_1/cancellation")
        assert cancelled.status_code == (302 if naive else 404)
        ann = Visitor(server, ANN)
        shown = ann.get("/orders/ord_1").text
        assert ("cancelled" in shown) is naive
        if not naive:  # her own she may, once
            assert ann.post("/orders/ord_1/cancellation").status_code == 303
            assert ann.post("/orders/ord_1/cancellation").status_code == 409
            assert "ord_1: cancelled" in ann.get("/orders/ord_1").text


def test_whoever_is_not_logged_in_comes_back_to_where_they_wanted_to_go(twin):
    with node.serve(twin("app.mjs", BEHIND)) as server:
        nobody = Visitor(server)
        sent = nobody.get("/orders/ord_1")
        assert sent.headers["Location"] == "/login?next=%2Forders%2Ford_1"
        page = nobody.get(sent.headers["Location"])
        assert 'value="/orders/ord_1"' in page.text
        there = nobody.post("/login", {**ANN, "next": "/orders/ord_1"})
        assert there.headers["Location"] == "https://shop.test/orders/ord_1"
        assert nobody.post("/login", {**ANN, "password": "x"}).status_code == 401
        assert nobody.post("/login", {"email": "a"}).status_code == 400


def test_the_hardened_app_takes_a_note_that_is_short_text_and_shows_it_as_text(twin):
    with node.serve(twin("app.mjs", BEHIND)) as server:
        ann = Visitor(server, ANN)
        script = "<script>alert(1)</script>"
        assert ann.post("/orders/ord_1/note", {"note": script}).status_code == 303
        shown = ann.get("/orders/ord_1").text
        assert "&#60;script&#62;alert(1)" in shown and script not in shown
        assert ann.post("/orders/ord_1/note", {"note": "x" * 501}).status_code == 422
        assert ann.post("/orders/ord_1/note").status_code == 422
        assert ann.get("/orders?q=alert").text.count("ord_1") == 2  # address and text
        assert ann.get("/nowhere").status_code == 404


def test_what_a_form_may_hold_is_bounded_and_of_one_value_a_field(twin):
    with node.serve(twin("app.mjs", BEHIND)) as server:
        ann = Visitor(server, ANN)
        for form, status in (
            ({**ANN, "email": [ANN["email"], "b"]}, 400),
            ({**ANN, "password": [ANN["password"], "b"]}, 400),
            ({**ANN, "email": "a" * 201}, 400),
            ({**ANN, "password": "a" * 201}, 400),
            ({**ANN, "password": "a" * 200}, 401),
            ({**ANN, "x": "a" * 5000}, 413),
        ):
            assert ann.post("/login", form).status_code == status
        for length, kept in ((500, True), (501, False)):
            target = f"/{'a' * (length - 1)}"
            assert (target in ann.get(f"/login?next={target}").text) is kept
        assert "“a”" in ann.get("/orders?q=a").text
        for query in (f"q={'a' * 101}", "q=a&q=b"):
            assert "“”" in ann.get(f"/orders?{query}").text
        # of what `check` knows, the session keeps the id
        assert "password" not in ann.get("/orders").text


def test_the_session_holds_an_id_and_none_of_what_the_check_knows(twin):
    before = f"""
    import {{ sessionsOf }} from '{node.uri("hardening/session.mjs")}';
    const rows = new Map();
    const sessions = sessionsOf({{ rows }});
    const set = rows.set;
    rows.set = (key, row) => {{ console.log(Object.keys(row.user)); return set.call(rows, key, row); }};
    """
    with node.serve(twin("app.mjs", "sessions", before)) as server:
        Visitor(server, ANN)
        assert "[ 'id' ]" in server.output()


def test_the_apps_policy_can_be_rolled_out_and_its_reports_limited(twin):
    kind = {"Content-Type": "application/csp-report"}
    deps = "reportOnly: true, reportLimits: [(req, res) => res.sendStatus(429)]"
    with node.serve(twin("app.mjs", deps)) as server, server.client() as client:
        headers = client.get("/login").headers
        assert "Content-Security-Policy" not in headers
        assert "nonce-" in headers["Content-Security-Policy-Report-Only"]
        asked = client.post("/csp-reports", content='{"csp-report":{}}', headers=kind)
        assert asked.status_code == 429


def test_who_may_ask_by_method_site_and_origin(twin):
    ours = "https://shop.test"
    with node.serve(twin("app.mjs")) as server:
        for headers, status in (
            ({"Sec-Fetch-Site": "same-origin"}, 303),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "none"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": ours}, 403),
            ({"Origin": ours}, 303),
            ({"Origin": "https://blog.shop.test"}, 403),
            ({"Origin": "null"}, 403),
            ({}, 403),
        ):
            with load.client(server.url, headers=headers) as client:
                assert client.post("/orders/x").status_code == status, headers
                for method in ("PUT", "PATCH", "DELETE"):
                    assert client.request(method, "/orders/x").status_code == status
                for method in ("GET", "HEAD"):
                    assert client.request(method, "/orders").status_code == 303


def test_the_address_that_a_client_names_counts_only_from_our_own_proxy(twin):
    limits = "limits: [(req, res) => res.json([req.ip, req.secure])]"
    told = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    for proxies, seen in (("", ["127.0.0.1", False]), (BEHIND, ["203.0.113.9", True])):
        with node.serve(twin("app.mjs", f"{limits}, {proxies}")) as server:
            assert Visitor(server, **told).post("/login", ANN).json() == seen


def test_two_changes_at_once_are_one_change():
    seen = node.printed(f"""
    import {{ ordersOf }} from '{node.uri("hardening/orders.mjs")}';
    const order = {{ id: 'a', customer: 'ann', version: 1, status: 'open' }};
    const mine = ordersOf([order]).of('ann');
    const done = await Promise.all([1, 2].map(() => mine.update('a', 1, order)));
    console.log(done.map(Boolean).join(' '), (await mine.get('a')).version);
    """)
    assert seen.split() == ["true", "false", "2"]


def test_an_update_moves_no_order_to_another_customer_or_id():
    said = javascript("""
    import { ordersOf } from '@/hardening/orders.mjs';
    const store = ordersOf([{ id: 'a', customer: 'ann', version: 1 },
      { id: 'b', customer: 'bob', version: 1 }]);
    const moved = { id: 'b', customer: 'bob', version: 9, note: 'x' };
    const seen = [await store.of('ann').update('a', 1, moved),
      await store.of('ann').update('b', 1, moved), await store.of('ann').update('c', 1, moved)];
    console.log(JSON.stringify([seen, await store.of('bob').list()]));
    """)
    assert said == [
        [{"id": "a", "customer": "ann", "version": 2, "note": "x"}, None, None],
        [{"id": "b", "customer": "bob", "version": 1}],
    ]


def test_an_order_without_a_note_is_listed_and_shown(twin):
    store = "store: ordersOf([{ id: 'ord_7', customer: 'cus_ann', version: 1 }])"
    before = f"import {{ ordersOf }} from '{node.uri('hardening/orders.mjs')}';"
    with node.serve(twin("app.mjs", store, before)) as server:
        ann = Visitor(server, ANN)
        assert "ord_7" in ann.get("/orders").text
        assert "ord_7" not in ann.get("/orders?q=x").text
        assert "ord_7" in ann.get("/orders/ord_7").text


@pytest.mark.parametrize(
    "target",
    ["//", "//evil.test/x", "//[", "http://evil.test/x", "*", "/%", "/orders//.."],
)
def test_no_target_of_a_request_is_an_error_of_ours_or_leads_elsewhere(twin, target):
    # Node 22 warns of a function that Express uses for such a target
    flags = ("--no-deprecation",)
    with node.serve(twin("app.mjs", BEHIND), flags=flags) as server:
        raw = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        head = exchange(server.port, raw.encode()).decode()
        place = re.search("^Location: (.*)\r$", head, re.MULTILINE)
        assert place and place[1].startswith("/login?next="), head
        # and on from there, with the password
        wanted = unquote(place[1].partition("=")[2])
        to = Visitor(server).post("/login", {**ANN, "next": wanted}).headers["Location"]
        assert to.startswith("https://shop.test/")
        assert "Error" not in server.output()


@TWINS
def test_an_error_tells_the_naive_apps_client_where_its_code_is(twin, snippet):
    naive = "naive" in snippet
    broken = "store: { all: { get() { throw new Error('db-7.internal'); } }, "
    broken += "of: () => ({ get() { throw new Error('db-7.internal'); } }) }"
    with node.serve(twin(snippet, f"{BEHIND}, {broken}")) as server:
        answer = Visitor(server, ANN).get("/orders/ord_1")
        assert answer.status_code == 500
        assert ("db-7.internal" in answer.text) is naive
        assert ("node_modules" in answer.text) is naive
        assert ("X-Powered-By" in answer.headers) is naive
        if not naive:
            instance = answer.json()["instance"]
            assert instance in server.output() and "db-7.internal" in server.output()
            assert "Content-Security-Policy" in answer.headers  # on errors, too
