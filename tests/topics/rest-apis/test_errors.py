"""Refusals and failures: a problem document, and a log that has the cause."""

import base64
import json
import re

import pytest

from lab.run import node

from .shared import (
    NAIVE,
    ORDER,
    count,
    place,
    problem,
)


def cursor(*content: object) -> str:
    """Where a page begins, as the API writes it; or as somebody makes it up."""
    text = json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, {"method": "POST", "content": "{", "json_type": True}),
        (400, {"method": "GET", "url": "/orders?limit=0"}),
        (400, {"method": "GET", "url": "/orders?limit=1&limit=2"}),
        (400, {"method": "GET", "url": "/orders?total[$ne]=1"}),
        (400, {"method": "GET", "url": "/orders?after=nonsense"}),
        *(
            (400, {"method": "GET", "url": f"/orders?after={cursor(*content)}"})
            for content in (
                ("total", 1, 1),  # of another sort
                ("-created", "1", 1),
                ("-created", 1, "1"),
                ("-created", 1, None),
                ("-created", 1),
                ("-created", 1.5, 1),
                ("-created", 1, 2**53),
            )
        ),
        (400, {"method": "GET", "url": "/orders?after=e30"}),  # {}
        (400, {"method": "GET", "url": "/orders?after=a&after=b"}),
        (400, {"method": "GET", "url": "/orders?sort=-created&sort=total"}),
        (400, {"method": "GET", "url": "/orders/%E0%A4%A"}),
        (400, {"method": "POST", "json": ORDER}),  # no Idempotency-Key
        (404, {"method": "GET", "url": "/nowhere"}),
        (405, {"method": "PUT", "url": "/orders"}),
        (405, {"method": "TRACE", "url": "/orders/ord_1"}),
        (405, {"method": "POST", "url": "/health"}),
        (409, {"method": "POST", "json": {"items": [{"sku": "yak", "quantity": 1}]}}),
        (413, {"method": "POST", "json": {**ORDER, "note": "x" * 20_000}}),
        (415, {"method": "POST", "content": "{}", "headers": {"Content-Type": "a/b"}}),
        (415, {"method": "PATCH", "url": "/orders/ord_1", "json": {"note": "x"}}),
        (422, {"method": "POST", "json": {"items": []}}),
    ],
)
def test_each_refusal_is_a_problem_document_and_nothing_is_stored(api, status, request_):
    options = {"url": "/orders", **request_}
    if options.pop("json_type", False):
        options["headers"] = {"Content-Type": "application/json"}
    if "content" in options or status in (409, 413, 422):
        options["headers"] = {**options.get("headers", {}), "Idempotency-Key": "k-1"}
    with api() as users:
        answer = users.ann.request(**options)
        found = problem(answer, status)
        if status == 405:
            assert "GET" in answer.headers["Allow"]
        if status == 409:
            assert found["errors"][0]["pointer"] == "#/items/0/sku"
        assert count(users.ann) == 0


def test_a_query_that_another_parser_made_objects_of_is_refused_as_well():
    """With the extended parser a client may send them; `Buffer.from()` would allocate
    what a `length` says."""
    seen = node.evaluate(
        f"""
    import {{ listQuery }} from '{node.uri("rest-apis/query.mjs")}';
    const after = {{ length: 50, 0: 'a' }};
    for (const query of [{{ after }}, {{ limit: {{ toString: '1' }} }}, {{ limit: ['5'] }},
        {{ sort: ['total'] }}, {{ status: null }}, {{ after: ['W10'] }}]) {{
      try {{ listQuery(query); }} catch (error) {{ console.log(error.message); }}
    }}
    """
    ).stdout
    assert seen.splitlines() == ["See /openapi.json for the parameters."] * 6


def test_the_naive_twin_answers_a_malformed_body_with_its_stack(api):
    wrong = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with api(NAIVE) as users:
        answer = users.ann.post("/orders", **wrong)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "node_modules/body-parser" in answer.text


@pytest.mark.claim("rest-apis/errors-are-private", verdict="depends")
def test_the_default_error_page_shows_the_stack_unless_it_is_production(api):
    def page(**env):
        with api(NAIVE, **env) as users:
            answer = users.ann.post("/orders", json={"items": "none"})
        assert answer.status_code == 500
        return answer.text

    assert re.search(r"orders\.naive\.mjs:\d+", page(NODE_ENV=""))
    assert re.search(r"orders\.naive\.mjs:\d+", page(NODE_ENV="staging"))
    assert "naive" not in page(NODE_ENV="production")


def test_what_nobody_foresaw_is_a_500_without_detail_and_can_be_found_again(api):
    deps = (
        "priceOf: async () => { throw Object.assign(new Error('db-7'), { status: 404 }) }"
    )
    with api(deps=deps) as users:
        found = problem(place(users.ann), 500)
        assert set(found) == {"title", "status", "instance"}
        log = users.server.output()
        assert "db-7" in log and found["instance"] in log


FAILURES = {
    "status 200": "Object.assign(new Error('db-7'), { status: 200, expose: true, type: 'a' })",
    "status 404": "Object.assign(new Error('db-7'), { status: 404, expose: true })",
    "type": "Object.assign(new Error('db-7'), { status: 402, type: 'card' })",
    "URI": "new URIError('db-7')",
    "text": "'db-7'",
    "null": "null",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_that_looks_like_a_refusal_is_still_ours(api, failure):
    thrown = f"throw {FAILURES[failure]}"
    with api(deps=f"priceOf: async () => {{ {thrown}; }}") as users:
        found = problem(place(users.ann), 500)
        assert found["instance"] in users.server.output()


def test_a_503_is_logged_with_its_cause_and_can_be_found_again(api):
    before = f"""
    import {{ pricesFrom }} from '{node.uri("rest-apis/prices.mjs")}';
    const call = async () => {{ throw new TypeError('db-7'); }};
    const priceOf = pricesFrom('http://prices.test', call);
    """
    with api(deps="priceOf", before=before) as users:
        found = problem(place(users.ann), 503)
        assert found["detail"] == "No prices just now."
        log = users.server.output()
        assert "db-7" in log and found["instance"] in log


@pytest.mark.parametrize(
    "ping",
    [
        "async () => { throw new Error('db-7') }",
        "() => { throw new Error('db-7') }",
        "async () => false",
        "() => new Promise(() => {})",
    ],
    ids=["rejects", "throws", "says no", "hangs"],
)
def test_a_store_that_is_down_makes_the_process_not_ready_and_leaves_it_alive(api, ping):
    with api(deps=f"store: {{ ping: {ping} }}") as users:
        for _ in range(2):
            answer = users.nobody.get("/ready")
            assert (answer.status_code, answer.json()) == (503, {"ok": False})
        assert ("db-7" in users.server.output()) == ("db-7" in ping)
        assert users.nobody.get("/health").status_code == 200


def test_an_error_after_the_headers_cuts_the_connection():
    seen = node.evaluate(
        f"""
    import express from 'express';
    import {{ problems }} from '{node.uri("rest-apis/problem.mjs")}';
    const app = express();
    app.get('/', (req, res) => {{ res.write('half'); throw new Error('late'); }});
    app.use(problems());
    const server = app.listen(0, '127.0.0.1', async () => {{
      const answer = await fetch(`http://127.0.0.1:${{server.address().port}}`);
      console.log(answer.status, await answer.text().catch(() => 'cut'));
      server.close();
    }});
    """
    ).stdout
    assert seen.strip() == "200 cut"
