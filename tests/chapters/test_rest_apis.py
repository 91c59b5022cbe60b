"""What docs/chapters/rest-apis.md says, run."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lab.run import browser, load, node, process, services

TOPIC = "rest-apis"
SOURCE = "tests/chapters/test_rest_apis.py"
ORDER = {"items": [{"sku": "tea", "quantity": 2}]}  # 1598 cents
MUGS = {"items": [{"sku": "mug", "quantity": 1}], "note": "blue"}  # 1250 cents
MERGE = {"Content-Type": "application/merge-patch+json"}
PROBLEM = "application/problem+json"
NAIVE, HARDENED = "orders.naive.mjs", "orders.mjs"
USERS = {hashlib.sha256(f"{n}-key".encode()).hexdigest(): n for n in ("ann", "bob")}


def uri(snippet: str, topic: str = TOPIC) -> str:
    return node.resolve(f"{topic}/{snippet}").as_uri()


# who has the key "ann-key" is ann
WHO = f"""
import {{ bearer }} from '{uri("auth.mjs")}';
const authenticate = bearer(new Map(Object.entries({json.dumps(USERS)})));
"""


@pytest.fixture
def module(tmp_path):
    """Writes a module that serves a chapter's factory with other dependencies."""

    def write(snippet: str, deps: str = "", before: str = ""):
        path = tmp_path / "module.mjs"
        deps = f"authenticate, {deps}"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", deps, WHO + before))
        return path

    return write


@pytest.fixture
def api(module):
    """Serves orders.mjs, or its twin; gives a client for each user."""

    @contextlib.contextmanager
    def serve(snippet: str = HARDENED, deps: str = "", before: str = "", **env: str):
        with node.serve(module(snippet, deps, before), env=env) as server:
            with contextlib.closing(Users(server)) as users:
                yield users

    return serve


class Users:
    """Ann and Bob, each with a client, and nobody."""

    def __init__(self, server: node.Server) -> None:
        self.server = server
        self.nobody = server.client()
        self.ann, self.bob = (
            server.client(headers={"Authorization": f"Bearer {name}-key"})
            for name in ("ann", "bob")
        )

    def close(self) -> None:
        for user in (self.nobody, self.ann, self.bob):
            user.close()


keys = iter(range(10**9))


def place(user: httpx.Client, content: dict = ORDER, key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key or f"key-{next(keys)}"}
    return user.post("/orders", json=content, headers=headers)


def placed(user: httpx.Client, content: dict = ORDER) -> dict:
    answer = place(user, content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def count(user: httpx.Client) -> int:
    found = user.get("/orders", params={"limit": 100}).json()
    return len(found if isinstance(found, list) else found["items"])


def problem(answer: httpx.Response, status: int) -> dict:
    """The problem document, which any answer of this status must be."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith(PROBLEM)
    found = answer.json()
    assert found["status"] == status
    assert "stack" not in found and "node_modules" not in answer.text
    return found


def at(version: int, **headers: str) -> dict:
    return {"If-Match": f'"{version}"', **headers}


def cursor(*content: object) -> str:
    """Where a page begins, as the API writes it; or as somebody makes it up."""
    text = json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


# --- the resource -------------------------------------------------------------------


def test_an_order_is_placed_read_replaced_changed_cancelled_and_deleted(api):
    with api() as users:
        answer = place(users.ann, ORDER)
        order = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/orders/{order['id']}"
        assert answer.headers["ETag"] == '"1"'
        assert order == {
            "id": order["id"],
            "customer": "ann",
            "items": ORDER["items"],
            "status": "open",
            "total": 1598,
            "version": 1,
        }
        url = answer.headers["Location"]
        read = users.ann.get(url)
        assert read.text == answer.text  # one version, one sequence of bytes
        assert users.ann.head(url).headers["ETag"] == '"1"'

        put = users.ann.put(url, json=MUGS, headers=at(1))
        assert (put.status_code, put.headers["ETag"]) == (200, '"2"')
        assert put.json() == {**order, **MUGS, "total": 1250, "version": 2}

        patch = users.ann.patch(url, content='{"note":null}', headers={**at(2), **MERGE})
        assert "note" not in patch.json() and patch.json()["items"] == MUGS["items"]

        cancelled = users.ann.post(f"{url}/cancellation", headers=at(3))
        assert cancelled.json()["status"] == "cancelled"
        again = users.ann.post(f"{url}/cancellation", headers=at(4))
        assert problem(again, 409)["detail"] == "It is cancelled."
        problem(users.ann.put(url, json=ORDER, headers=at(4)), 409)

        other = f"/orders/{placed(users.ann)['id']}"
        assert users.ann.delete(other, headers=at(1)).status_code == 204
        problem(users.ann.get(other), 404)


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
    import {{ listQuery }} from '{uri("query.mjs")}';
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


@pytest.mark.claim("rest-apis/errors-are-private")
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
    import {{ pricesFrom }} from '{uri("prices.mjs")}';
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
    import {{ problems }} from '{uri("problem.mjs")}';
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


@pytest.mark.claim("rest-apis/four-routes")
def test_without_a_parser_the_body_is_undefined_and_each_post_fails():
    seen = node.evaluate(
        """
    import express from 'express';
    async function post(app) {
      app.post('/orders', (req, res) => res.status(201).json(req.body.items.length));
      app.use((error, req, res, next) => res.status(500).send(error.message));
      const server = app.listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const answer = await fetch(`http://127.0.0.1:${server.address().port}/orders`, {
        method: 'POST', body: '{"items":[1]}',
        headers: { 'Content-Type': 'application/json' } });
      console.log(answer.status, await answer.text());
      server.close();
    }
    await post(express());
    await post(express().use(express.json()));
    """
    ).stdout
    assert seen.splitlines() == [
        "500 Cannot read properties of undefined (reading 'items')",
        "201 1",
    ]


def versions() -> dict[str, list[str]]:
    lines = node.run(f"{TOPIC}/versions.mjs").stdout.splitlines()
    return {line[:22].strip(): re.split(r" {2,}", line[23:]) for line in lines}


@pytest.mark.claim("rest-apis/wrap-async-handlers")
def test_a_rejected_handler_hangs_on_express_4_and_is_a_500_on_express_5():
    assert versions()["async handler rejects"] == ["no answer", "500"]
    # and without the listener that the program has, Express 4 takes the process along
    done = node.evaluate(
        """
    import express from 'express4';
    const app = express();
    app.get('/', async () => { throw new Error('out of stock'); });
    const server = app.listen(0, '127.0.0.1', () =>
      fetch(`http://127.0.0.1:${server.address().port}/`).catch(() => {}));
    """,
        code=1,
    )
    assert "out of stock" in done.stderr


def test_what_nobody_awaits_ends_the_process_on_express_5_too():
    done = node.evaluate(
        """
    import express from 'express';
    const app = express();
    app.get('/', async (req, res) => {
      Promise.reject(new Error('nobody waits'));
      res.end();
    });
    const server = app.listen(0, '127.0.0.1', () =>
      fetch(`http://127.0.0.1:${server.address().port}/`).catch(() => {}));
    """,
        code=1,
    )
    assert "nobody waits" in done.stderr


@pytest.mark.claim("rest-apis/query-operators")
def test_brackets_in_a_query_are_an_object_on_4_and_a_name_on_5():
    assert versions()["?total[$ne]=1"] == [
        '{"total":{"$ne":"1"}}',
        '{"total[$ne]":"1"}',
    ]
    parsers = node.evaluate(
        """
    import express5 from 'express';
    import express4 from 'express4';
    console.log(express4().get('query parser'), express5().get('query parser'));
    """
    ).stdout
    assert parsers.split() == ["extended", "simple"]


@pytest.mark.claim("rest-apis/production-three-times")
def test_of_express_settings_production_changes_the_cache_of_views_and_no_other(tmp_path):
    path = tmp_path / "settings.mjs"
    path.write_text(
        f"import express from '{node.resolve('node_modules/express/index.js').as_uri()}';\n"
        "const { views, env, ...settings } = express().settings;\n"
        "console.log(JSON.stringify(settings));\n"
    )
    plain, production = (
        json.loads(node.run(path, env={"NODE_ENV": env}).stdout)
        for env in ("", "production")
    )
    assert production == {**plain, "view cache": True}
    assert "view cache" not in plain


@pytest.mark.parametrize(
    "env",
    [
        {"FRAMEWORK": "http"},
        {"FRAMEWORK": "fastify"},
        {"FRAMEWORK": "express", "MIDDLEWARE": "3"},
    ],
    ids=lambda env: env["FRAMEWORK"],
)
def test_the_measured_frameworks_give_the_same_answer(env):
    with node.serve(f"{TOPIC}/frameworks.mjs", env=env) as server:
        with server.client() as client:
            answer = client.get("/orders/1")
    assert answer.json() == {"id": "ord_1", "status": "open", "total": 1598, "version": 1}
    assert answer.headers["Content-Type"].startswith("application/json")


# --- what a client may say ----------------------------------------------------------


def parsed(body: object) -> dict:
    source = f"""
    import {{ parseOrder }} from '{uri("order.mjs")}';
    console.log(JSON.stringify(parseOrder(JSON.parse({json.dumps(json.dumps(body))}))));
    """
    return json.loads(node.evaluate(source).stdout)


def test_the_parser_keeps_what_it_knows_and_points_at_what_it_does_not():
    assert parsed(MUGS) == {"value": MUGS}
    assert parsed(["x"])["errors"][0] == {
        "pointer": "#",
        "detail": "must be an object",
    }
    body = {
        "items": [{"sku": "Tea", "quantity": 0, "price": 1}, 7],
        "note": 5,
        "a/b~c d": 1,
    }
    assert [error["pointer"] for error in parsed(body)["errors"]] == [
        "#/a~1b~0c%20d",
        "#/note",
        "#/items/0/price",
        "#/items/0/sku",
        "#/items/0/quantity",
        "#/items/1",
        "#/items/1/sku",
        "#/items/1/quantity",
    ]
    assert parsed({**ORDER, "note": "🫖" * 500})["value"]["note"] == "🫖" * 500
    assert "errors" in parsed({**ORDER, "note": "🫖" * 501})
    assert len(parsed({str(n): n for n in range(1000)})["errors"]) == 20
    assert "errors" in parsed({**ORDER, "\ud800": 1})  # half a character
    half = parsed({**ORDER, "note": "\ud800"})  # SQLite would keep another one
    assert [error["pointer"] for error in half["errors"]] == ["#/note"]


MORE = [
    {"status": "paid"},
    {"total": 1},
    {"customer": "bob"},
    {"id": "ord_1"},
    {"version": 9},
    {"role": "admin"},
    {"__proto__": {"admin": True}},
    {"constructor": {"prototype": {"admin": True}}},
]


@pytest.mark.parametrize("more", MORE, ids=lambda more: next(iter(more)))
def test_what_is_the_servers_to_say_the_hardened_api_refuses(api, more):
    body = json.dumps({**ORDER, **more})
    kind = {"Content-Type": "application/json"}
    with api() as users:
        headers = {**kind, "Idempotency-Key": "a-1"}
        found = problem(users.ann.post("/orders", content=body, headers=headers), 422)
        assert found["errors"] == [
            {"pointer": f"#/{next(iter(more))}", "detail": "is not for you"}
        ]
        order = placed(users.ann)
        url = f"/orders/{order['id']}"
        patch = json.dumps(more)
        for answer in (
            users.ann.put(url, content=body, headers={**kind, **at(1)}),
            users.ann.patch(url, content=patch, headers={**MERGE, **at(1)}),
        ):
            problem(answer, 422)
        assert users.ann.get(url).json() == order
        assert count(users.ann) == 1


def test_the_naive_api_lets_the_client_pay_with_a_word(api):
    with api(NAIVE) as users:
        order = placed(users.ann, {**ORDER, "status": "paid", "total": 1})
        assert (order["status"], order["total"]) == ("paid", 1)
        changed = users.bob.patch("/orders/1", json={"customer": "bob", "role": "admin"})
        assert changed.json()["customer"] == "bob"
        assert changed.json()["role"] == "admin"


@pytest.mark.parametrize("parser", ["order.mjs", "validation/order.mjs"])
def test_a_schemas_parser_takes_the_place_of_ours_by_the_same_contract(api, parser):
    """Same refusals at the same places; what the schema knows besides is its own."""
    topic = "validation" if "/" in parser else TOPIC
    before = f"import {{ parseOrder }} from '{uri(parser.split('/')[-1], topic)}';"
    item = ORDER["items"][0]
    refused = {
        "#/items": [{}, {"items": []}, {"items": "tea"}, {"items": [item] * 101}],
        "#/items/0/quantity": [
            {"items": [{**item, "quantity": quantity}]}
            for quantity in (0, 1000, 1.5, "2", None, [2])
        ],
        "#/items/0/sku": [{"items": [{**item, "sku": sku}]} for sku in (5, "", "T EA")],
        "#/items/0/price": [{"items": [{**item, "price": 1}]}],
        "#/note": [{**ORDER, "note": note} for note in (5, "a" * 501)],
        "#/status": [{**ORDER, "status": "paid"}],
        "#/__proto__": [{**ORDER, "__proto__": {"status": "paid"}}],
    }
    with api(deps="parseOrder", before=before) as users:
        for pointer, bodies in refused.items():
            for body in bodies:
                errors = problem(place(users.ann, body), 422)["errors"]
                assert pointer in [error["pointer"] for error in errors], body
        assert count(users.ann) == 0
        honest = placed(users.ann, {**ORDER, "note": "O'Brien <3 \U0001f375"})
        assert honest["note"] == "O'Brien <3 \U0001f375"
        twice = place(users.ann, {"items": [item, item]})
        assert twice.status_code == (422 if topic == "validation" else 201)


def test_a_body_nested_as_deep_as_it_may_be_long_is_refused_and_nobodys_fault(api):
    deep = "[" * 8000 + "]" * 8000
    kind = {"Content-Type": "application/json"}
    with api() as users:
        url = f"/orders/{placed(users.ann)['id']}"
        for body in (deep, f'{{"items":{deep}}}', f'{{"items":[{{"sku":{deep}}}]}}'):
            key = {"Idempotency-Key": "a-1"}
            problem(users.ann.post("/orders", content=body, headers=kind | key), 422)
            problem(users.ann.put(url, content=body, headers=kind | at(1)), 422)
            problem(users.ann.patch(url, content=body, headers=MERGE | at(1)), 422)
        assert "RangeError" not in users.server.output()


def test_a_parser_that_takes_its_time_is_waited_for(api):
    before = f"""
    import {{ parseOrder as parse }} from '{uri("order.mjs")}';
    const parseOrder = async (body) => parse(body);
    """
    with api(deps="parseOrder", before=before) as users:
        problem(place(users.ann, {"items": []}), 422)
        assert placed(users.ann)["total"] == 1598


def test_a_patch_is_judged_by_what_it_makes_of_the_order(api):
    with api() as users:
        order = placed(users.ann, MUGS)
        url = f"/orders/{order['id']}"

        def patch(body: str) -> httpx.Response:
            headers = {**MERGE, "If-Match": "*"}
            return users.ann.patch(url, content=body, headers=headers)

        for body in ("[]", '["note"]', '{"items":null}', '{"items":[null]}', '{"a":{}}'):
            problem(patch(body), 422)
        assert users.ann.get(url).json() == order
        unchanged = patch("{}").json()  # a valid one that changes nothing
        assert {**unchanged, "version": 1} == order
        assert "note" not in patch('{"note":null}').json()


def test_a_merge_patch_said_twice_changes_what_it_changes_once():
    seen = node.evaluate(
        f"""
    import {{ mergePatch }} from '{uri("patch.mjs")}';
    const order = {{ items: [1, 2], note: 'blue', total: 5 }};
    for (const patch of [{{}}, {{ note: null }}, {{ note: 'red' }}, {{ items: [3] }},
        {{ items: null, other: 1 }}, [], null, 'text', undefined]) {{
      const once = mergePatch(order, patch);
      const twice = mergePatch(once ?? {{}}, patch);
      console.log(JSON.stringify(once), JSON.stringify(twice) === JSON.stringify(once));
    }}
    console.log(Object.keys(mergePatch(order, JSON.parse('{{"__proto__":1}}'))).join());
    """
    ).stdout
    assert seen.splitlines() == [
        '{"items":[1,2],"note":"blue"} true',
        '{"items":[1,2]} true',
        '{"items":[1,2],"note":"red"} true',
        '{"items":[3],"note":"blue"} true',
        '{"note":"blue","other":1} true',
        "[] true",
        "null true",
        '"text" true',
        "undefined true",
        "items,note,__proto__",
    ]


# --- whose order --------------------------------------------------------------------


def walk(users: Users, ids: list[str]) -> list[int]:
    """What Bob gets who tries each id in each way there is."""
    codes = []
    for id_ in ids:
        url = f"/orders/{id_}"
        codes += [
            users.bob.get(url).status_code,
            users.bob.put(url, json=ORDER, headers=at(1)).status_code,
            users.bob.patch(
                url, content='{"note":"bob"}', headers={**MERGE, **at(1)}
            ).status_code,
            users.bob.post(f"{url}/cancellation", headers=at(1)).status_code,
            users.bob.delete(url, headers=at(1)).status_code,
        ]
    return codes


def test_another_user_who_walks_the_ids_gets_all_of_the_naive_apis_orders(api):
    with api(NAIVE) as users:
        for _ in range(5):
            placed(users.ann)
        seen = [users.bob.get(f"/orders/{n}").json() for n in range(1, 6)]
        assert {order["customer"] for order in seen} == {"ann"}
        assert users.bob.delete("/orders/3").status_code == 200
        assert count(users.ann) == 4


def test_another_user_who_knows_the_ids_gets_404_from_the_hardened_one(api):
    with api() as users:
        orders = [placed(users.ann) for _ in range(3)]
        ids = [order["id"] for order in orders]
        assert set(walk(users, ids)) == {404}
        assert count(users.bob) == 0
        for order in orders:
            assert users.ann.get(f"/orders/{order['id']}").json() == order
        # and it is the answer to an order that never was, to the letter
        unknown = users.bob.get("/orders/ord_none")
        theirs = users.bob.get(f"/orders/{ids[0]}")
        assert unknown.text == theirs.text
        problem(users.nobody.get("/orders"), 401)


def test_who_is_unknown_is_not_parsed(api):
    wrong = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with api() as users:
        answer = users.nobody.post("/orders", **wrong)
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        problem(users.ann.post("/orders", **wrong), 400)
        for token in ("Bearer", "Bearer x", "Basic ann-key", "ann-key"):
            answer = users.nobody.get("/orders", headers={"Authorization": token})
            problem(answer, 401)


# --- said twice ---------------------------------------------------------------------


class LostReply:
    """Sends a request as often as it is told, and throws the answer away until the
    last: what a client does whose connection breaks each time."""

    def __init__(self, user: httpx.Client, times: int = 3) -> None:
        self.user, self.times = user, times

    def __call__(self, method: str, url: str, **options) -> list[int]:
        return [
            self.user.request(method, url, **options).status_code
            for _ in range(self.times)
        ]


@pytest.mark.claim("rest-apis/same-response")
def test_said_three_times_put_and_delete_leave_the_state_of_one_and_other_answers(api):
    with api() as users:
        say = LostReply(users.ann)
        once, thrice = (f"/orders/{placed(users.ann)['id']}" for _ in range(2))
        users.ann.put(once, json=MUGS, headers=at(1))
        assert say("PUT", thrice, json=MUGS, headers=at(1)) == [200, 412, 412]
        left = [users.ann.get(url).json() for url in (once, thrice)]
        assert {**left[0], "id": left[1]["id"]} == left[1]

        assert say("DELETE", thrice, headers=at(2)) == [204, 404, 404]
        assert users.ann.get(thrice).status_code == 404
        assert count(users.ann) == 1
        assert say("GET", once) == [200] * 3


@pytest.mark.claim("rest-apis/post-twice")
def test_said_three_times_a_post_makes_three_orders_and_with_a_key_one(api):
    with api(NAIVE) as users:
        assert LostReply(users.ann)("POST", "/orders", json=ORDER) == [201] * 3
        assert count(users.ann) == 3
    with api() as users:
        answers = [place(users.ann, key="one-intent") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({answer.text for answer in answers}) == 1
        assert count(users.ann) == 1


SLOW_PRICES = """
let waiting = 0;
let all;
const twenty = new Promise((resolve) => { all = resolve; });
const slow = async (skus) => {
  waiting += 1;
  if (waiting === 20) all();
  await twenty;
  return new Map(skus.map((sku) => [sku, 799]));
};
"""


@pytest.mark.parametrize(("snippet", "orders"), [(NAIVE, 20), (HARDENED, 1)])
def test_twenty_at_once_with_one_key(api, snippet, orders):
    """The naive cache looks, waits for prices, and only then remembers. Prices come
    when all twenty have asked for them, so none of them is late."""
    with api(snippet, "priceOf: slow", SLOW_PRICES) as users:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: place(users.ann, key="a-1"), range(20)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == orders
        assert count(users.ann) == orders


def test_a_key_is_one_customers_and_one_requests(api):
    with api(NAIVE) as users:
        place(users.ann, key="a-1")
        assert place(users.bob, MUGS, key="a-1").json()["customer"] == "ann"
    with api() as users:
        place(users.ann, key="a-1")
        theirs = place(users.bob, MUGS, key="a-1").json()
        assert (theirs["customer"], theirs["total"]) == ("bob", 1250)
        found = problem(place(users.ann, MUGS, key="a-1"), 422)
        assert found["errors"][0]["header"] == "Idempotency-Key"
        # and the same content is the same request, however it is written
        text = '{"items": [{"quantity": 2, "sku": "tea"}]}'
        headers = {"Idempotency-Key": "a-1", "Content-Type": "application/json"}
        again = users.ann.post("/orders", content=text, headers=headers)
        assert again.json()["customer"] == "ann"
        # what was refused is not remembered: the client may mend it
        problem(place(users.ann, {"items": []}, key="a-2"), 422)
        assert place(users.ann, key="a-2").status_code == 201


@pytest.mark.claim("rest-apis/stateless-scales")
@pytest.mark.parametrize(("snippet", "orders"), [(NAIVE, 2), (HARDENED, 1)])
def test_two_processes_behind_one_address_and_a_post_that_is_retried(
    module, tmp_path, snippet, orders
):
    """Stateless says that any process may take the retry. It does not say that the
    other one knows of the first."""
    shared = f"""
    import {{ createStore }} from '{uri("store.mjs")}';
    const store = createStore({json.dumps(str(tmp_path / "orders.db"))});
    """
    path = module(snippet, "store" if snippet == HARDENED else "", shared)
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(node.serve(path)) for _ in range(2)]
        proxy = stack.enter_context(services.proxy([s.url for s in servers]))
        headers = {"Authorization": "Bearer ann-key"}
        with httpx.Client(base_url=proxy.url, headers=headers, timeout=20) as ann:
            answers = [place(ann, key="a-1") for _ in range(4)]
        assert {answer.status_code for answer in answers} == {201}
        found = []
        for server in servers:
            with server.client(headers=headers) as ann:
                found.append(count(ann))
        assert (sum(found) if snippet == NAIVE else max(found)) == orders


def test_a_retry_gets_the_first_answer_whatever_the_prices_are_by_then(api):
    before = """
    let asked = 0;
    const risen = async (skus) => {
      asked += 1;
      if (asked > 2) throw new Error('no prices');
      return new Map(skus.map((sku) => [sku, 100 * asked]));
    };
    """
    with api(deps="priceOf: risen", before=before) as users:
        first = place(users.ann, key="a-1")
        assert first.json()["total"] == 200
        assert placed(users.ann)["total"] == 400
        problem(place(users.ann), 500)
        assert place(users.ann, key="a-1").text == first.text


def test_without_authenticate_the_app_serves_nobody():
    with node.serve(f"{TOPIC}/{HARDENED}") as server, server.client() as client:
        assert client.get("/health").json() == {"ok": True}
        assert client.get("/ready").json() == {"ok": True}
        for headers in ({}, {"Authorization": "Bearer ann-key"}):
            problem(client.get("/orders", headers=headers), 401)
        empty = {"Content-Type": "application/json", "Content-Length": "0"}
        problem(client.post("/orders", headers=empty), 401)


def test_an_empty_body_is_no_order(api):
    kind = {"Content-Type": "application/json", "Idempotency-Key": "a-1"}
    with api() as users:
        answer = users.ann.post("/orders", headers={**kind, "Content-Length": "0"})
        problem(answer, 422)
        assert count(users.ann) == 0


def test_keys_are_forgotten_after_a_day_and_survive_a_restart(tmp_path):
    seen = node.evaluate(
        f"""
    import {{ createStore }} from '{uri("store.mjs")}';
    let time = 0;
    const open = () => createStore({json.dumps(str(tmp_path / "o.db"))},
      {{ now: () => time }});
    let store = open();
    const insert = (id) => store.of('ann').insert(
      {{ id, items: [], status: 'open', total: 0, version: 1 }},
      {{ key: 'k', request: 'r' }});
    console.log((await insert('a')).id);
    store.close();
    store = open();
    console.log((await insert('b')).id, await store.ping());
    time = 86_400_001;
    console.log((await insert('c')).id);
    // half of it fails: then none of it is there
    console.log(await store.of('bob').insert({{ id: 'c', items: [], status: 'open',
      total: 0, version: 1 }}, {{ key: 'k', request: 'r' }}).catch((e) => e.code));
    console.log(await store.of('bob').get('c'));
    """
    ).stdout
    assert seen.split() == ["a", "a", "true", "c", "ERR_SQLITE_ERROR", "null"]


def test_when_a_transaction_fails_its_cause_is_what_is_thrown(tmp_path):
    """SQLite rolls some failures back by itself, as when the disk is full. The ROLLBACK
    that follows then fails as well."""
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    import {{ createStore }} from '{uri("store.mjs")}';
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const store = createStore(path);
    const other = new DatabaseSync(path);
    const insert = (id) => store.of('ann').insert(
      {{ id, items: [], status: 'open', total: 0, version: 1 }},
      {{ key: id, request: 'r' }}).catch((error) => error);
    for (const how of ['ROLLBACK', 'ABORT']) {{
      other.exec(`CREATE TRIGGER no BEFORE INSERT ON answers
        BEGIN SELECT RAISE(${{how}}, 'the disk is full'); END`);
      console.log((await insert('a')).message, await store.of('ann').get('a'));
      other.exec('DROP TRIGGER no');
    }}
    console.log((await insert('b')).id); // and the connection still works
    """
    ).stdout
    assert seen.splitlines() == ["the disk is full null"] * 2 + ["b"]


def test_several_processes_may_open_a_new_database_at_the_same_time(tmp_path):
    opened = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ Worker }} from 'node:worker_threads';
    // each has a connection of its own, as processes have; all wait for one moment
    const gate = new Int32Array(new SharedArrayBuffer(8));
    const source = `
      import {{ workerData }} from 'node:worker_threads';
      import {{ createStore }} from '{uri("store.mjs")}';
      for (let round = 0; round < 10; round += 1) {{
        Atomics.add(workerData.gate, 0, 1);
        while (Atomics.load(workerData.gate, 0) < 4 * (round + 1));
        createStore(workerData.path + round).close();
      }}`;
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const workers = Array.from({{ length: 4 }}, () =>
      new Worker(new URL(`data:text/javascript,${{encodeURIComponent(source)}}`),
        {{ workerData: {{ gate, path }} }}));
    const codes = workers.map((worker) => once(worker, 'exit'));
    console.log((await Promise.all(codes)).join());
    """
    ).stdout
    assert opened.strip() == "0,0,0,0"


def test_who_finds_a_new_database_locked_for_longer_than_sqlite_waits_tries_again(
    tmp_path,
):
    opened = node.evaluate(
        f"""
    import {{ once }} from 'node:events';
    import {{ Worker }} from 'node:worker_threads';
    import {{ createStore }} from '{uri("store.mjs")}';
    const path = {json.dumps(str(tmp_path / "o.db"))};
    const gate = new Int32Array(new SharedArrayBuffer(8));
    // another connection holds the file for four seconds; SQLite waits for two
    const source = `
      import {{ parentPort, workerData }} from 'node:worker_threads';
      import {{ DatabaseSync }} from 'node:sqlite';
      const {{ path, gate }} = workerData;
      const db = new DatabaseSync(path);
      db.exec('BEGIN EXCLUSIVE');
      parentPort.postMessage('locked');
      Atomics.wait(gate, 0, 0); // until the store is about to open it
      Atomics.wait(gate, 1, 0, 4000);
      Atomics.store(gate, 1, 1);
      db.exec('COMMIT');
      db.close();`;
    const other = new Worker(new URL(`data:text/javascript,${{encodeURIComponent(source)}}`),
      {{ workerData: {{ path, gate }} }});
    await once(other, 'message');
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const store = createStore(path);
    console.log(Atomics.load(gate, 1), await store.ping());
    store.close();
    """
    ).stdout
    assert opened.strip() == "1 true"


def test_what_is_no_database_is_refused_at_once(tmp_path):
    (tmp_path / "o.db").write_text("no database " * 100)
    done = node.evaluate(
        f"""
        import {{ createStore }} from '{uri("store.mjs")}';
        createStore({json.dumps(str(tmp_path / "o.db"))});
        """,
        code=1,
    )
    assert "file is not a database" in done.stderr


# --- versions -----------------------------------------------------------------------


def two_writers(users: Users, url: str, rounds: int, naive: bool) -> list[int]:
    """Both read, then both add one to the quantity, in turn. The second tries again
    when it is told that it is late. Returns the quantity, and what was refused."""
    refused = 0

    def write(read: dict) -> int:
        item = {"sku": "tea", "quantity": read["items"][0]["quantity"] + 1}
        headers = {} if naive else at(read["version"])
        return users.ann.put(url, json={"items": [item]}, headers=headers).status_code

    for _ in range(rounds):
        first, second = (users.ann.get(url).json() for _ in range(2))
        assert write(first) == 200
        if write(second) == 412:
            refused += 1
            assert write(users.ann.get(url).json()) == 200
    return [users.ann.get(url).json()["items"][0]["quantity"], refused]


def test_of_two_writers_each_update_counts_with_if_match_and_half_are_lost_without(api):
    start = {"items": [{"sku": "tea", "quantity": 1}]}
    with api(NAIVE) as users:
        url = f"/orders/{placed(users.ann, start)['id']}"
        assert two_writers(users, url, 20, naive=True) == [21, 0]  # 40 were written
    with api() as users:
        url = f"/orders/{placed(users.ann, start)['id']}"
        assert two_writers(users, url, 20, naive=False) == [41, 20]


@pytest.mark.claim("rest-apis/etag-for-free")
def test_the_etag_of_express_is_weak_and_if_match_must_not_match_it(api):
    with api() as users:
        order = placed(users.ann)
        url = f"/orders/{order['id']}"
        listed = users.ann.get("/orders")
        assert listed.headers["ETag"].startswith('W/"')  # Express's own
        assert users.ann.get(url).headers["ETag"] == '"1"'  # ours
        for tag, status in (
            ('W/"1"', 412),  # the version, but weak
            ('"0", "7"', 412),
            ("1", 400),  # without its quotes
            (None, 428),
        ):
            headers = {"If-Match": tag} if tag else {}
            answer = users.ann.put(url, json=MUGS, headers=headers)
            problem(answer, status)
            if status == 412:
                assert answer.headers["ETag"] == '"1"'
        assert users.ann.get(url).json() == order
        assert users.ann.put(url, json=MUGS, headers={"If-Match": "*"}).is_success
        tags = {"If-Match": '"1", "2"'}
        assert users.ann.put(url, json=MUGS, headers=tags).is_success


def test_an_unchanged_answer_is_304_without_a_body(api):
    with api() as users:
        order = placed(users.ann)
        for url in (f"/orders/{order['id']}", "/orders"):
            first = users.ann.get(url)
            tag = {"If-None-Match": first.headers["ETag"]}
            second = users.ann.get(url, headers=tag)
            assert (second.status_code, second.content) == (304, b"")
            assert second.headers["ETag"] == first.headers["ETag"]
            assert second.headers["Cache-Control"] == "private, no-cache"
        users.ann.put(f"/orders/{order['id']}", json=MUGS, headers=at(1))
        assert users.ann.get(url, headers=tag).status_code == 200


def answer_bytes(server: node.Server, path: str, tag: str = "") -> tuple[bytes, str]:
    """All that is sent for a GET, headers included, and its ETag."""
    head = f"GET {path} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n"
    head += "Authorization: Bearer ann-key\r\n"
    head += f"If-None-Match: {tag}\r\n" if tag else ""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"{head}\r\n".encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    return data, re.search(rb"\nETag: (\S+)", data)[1].decode()


@pytest.mark.claim("rest-apis/not-modified-is-cheap")
def test_a_304_saves_nearly_all_of_a_page_and_about_half_of_one_order(api):
    with api() as users:
        for _ in range(50):
            url = f"/orders/{placed(users.ann)['id']}"
        shares = {}
        for path in (url, "/orders?limit=50"):
            full, tag = answer_bytes(users.server, path)
            short, _ = answer_bytes(users.server, path, tag)
            assert full.startswith(b"HTTP/1.1 200") and short.startswith(b"HTTP/1.1 304")
            shares[path] = len(short) / len(full)
        assert shares["/orders?limit=50"] < 0.05
        assert 0.3 < shares[url] < 0.7


@pytest.mark.parametrize("method", ["update", "remove"])
def test_who_is_overtaken_between_reading_and_writing_gets_412(api, method):
    before = f"""
    import {{ createStore }} from '{uri("store.mjs")}';
    const real = createStore();
    const of = (id) => ({{ ...real.of(id), {method}: async () => null }});
    """
    with api(deps="store: { ...real, of }", before=before) as users:
        url = f"/orders/{placed(users.ann)['id']}"
        if method == "update":
            problem(users.ann.put(url, json=MUGS, headers=at(1)), 412)
        else:
            problem(users.ann.delete(url, headers=at(1)), 412)


# --- pages --------------------------------------------------------------------------


def pages_of(user: httpx.Client, **params) -> list[list[dict]]:
    found, after = [], {}
    while True:
        answer = user.get("/orders", params={**params, **after})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        if answer.json()["next"] is None:
            return found
        after = {"after": answer.json()["next"]}


@pytest.mark.parametrize("sort", ["created", "-created", "total", "-total"])
def test_pages_by_key_hold_each_order_once_in_order_whatever_comes_between(api, sort):
    with api() as users:
        made = [
            placed(users.ann, {"items": [{"sku": "tea", "quantity": 1 + n % 3}]})
            for n in range(7)
        ]
        placed(users.bob)
        found = [o for page in pages_of(users.ann, limit=3, sort=sort) for o in page]
        field = sort.removeprefix("-")
        expected = made if field == "created" else sorted(made, key=lambda o: o["total"])
        if field == "total":
            assert [o["total"] for o in found] == sorted(
                (o["total"] for o in made), reverse=sort.startswith("-")
            )
        else:
            assert found == (expected[::-1] if sort.startswith("-") else expected)
        assert sorted(o["id"] for o in found) == sorted(o["id"] for o in made)

        # an order that goes between two pages takes no other with it
        first = users.ann.get("/orders", params={"limit": 3, "sort": sort}).json()
        gone = first["items"][0]["id"]
        users.ann.delete(f"/orders/{gone}", headers=at(1))
        params = {"limit": 100, "sort": sort, "after": first["next"]}
        rest = users.ann.get("/orders", params=params).json()["items"]
        assert [o["id"] for o in first["items"] + rest] == [o["id"] for o in found]


@pytest.mark.claim("rest-apis/offset-is-fine")
def test_a_page_by_offset_skips_an_order_when_one_before_it_goes(api):
    with api(NAIVE) as users:
        made = [placed(users.ann)["id"] for _ in range(4)]
        first = users.ann.get("/orders", params={"offset": 0}).json()[:2]
        users.ann.delete(f"/orders/{made[0]}")
        second = users.ann.get("/orders", params={"offset": 2}).json()
        seen = {order["id"] for order in first + second}
        assert made[2] not in seen


def test_pages_are_filtered_by_status(api):
    with api() as users:
        order, _ = placed(users.ann), placed(users.ann)
        users.ann.post(f"/orders/{order['id']}/cancellation", headers=at(1))
        (page,) = pages_of(users.ann, status="cancelled", limit=1)
        assert [found["id"] for found in page] == [order["id"]]
        problem(users.ann.get("/orders", params={"status": "lost"}), 400)


@pytest.mark.claim("rest-apis/offset-is-fine")
def test_offset_visits_every_row_before_the_page_and_a_key_visits_the_page():
    lines = node.run(f"{TOPIC}/pages.mjs").stdout.splitlines()
    assert "after 19980: offset visits 20000 rows, keyset 20 rows" in lines
    assert lines[-1] == "after 999980: offset visits 1000000 rows, keyset 20 rows"


def test_the_stores_pages_come_from_an_index_and_sort_nothing(tmp_path):
    """What SQLite plans for the very queries of store.mjs."""
    path = tmp_path / "orders.db"
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    const asked = [];
    const prepare = DatabaseSync.prototype.prepare;
    DatabaseSync.prototype.prepare = function (text) {{
      asked.push(text);
      return prepare.call(this, text);
    }};
    const {{ createStore }} = await import('{uri("store.mjs")}');
    const store = createStore({json.dumps(str(path))});
    for (const sort of ['created', '-created', 'total', '-total']) {{
      await store.of('ann').list({{ sort, limit: 5, after: {{ total: 1, seq: 1 }} }});
    }}
    const db = new DatabaseSync({json.dumps(str(path))});
    for (const text of asked) {{
      console.log(prepare.call(db, `EXPLAIN QUERY PLAN ${{text}}`).all()
        .map(({{ detail }}) => detail).join(' + '));
    }}
    """
    ).stdout
    plans = seen.splitlines()
    assert len(plans) == 4
    for plan in plans:
        assert re.match(r"SEARCH orders USING INDEX by_(time|total) ", plan), plan
        assert "seq" in plan or "total" in plan and "TEMP" not in plan


# --- other services -----------------------------------------------------------------

# `fetch` of an upstream that counts; 100 calls in a row, no waiting between tries
COUNTING = """
const sleep = async () => {};
async function hundred(createCall, status, request) {
  let asked = 0;
  const fetch = async () => { asked += 1; return new Response('{}', { status }); };
  const call = createCall({ fetch, sleep });
  for (let i = 0; i < 100; i += 1) await call('http://prices', request).catch(() => {});
  return asked;
}
"""


@pytest.mark.claim("rest-apis/three-tries")
def test_a_hundred_calls_to_a_service_that_is_down_become_300_or_by_a_budget_120():
    seen = node.evaluate(
        f"""
    import {{ createCall as naive }} from '{uri("outbound.naive.mjs")}';
    import {{ createCall }} from '{uri("outbound.mjs")}';
    {COUNTING}
    const post = {{ method: 'POST' }};
    const keyed = {{ ...post, headers: {{ 'Idempotency-Key': 'k' }} }};
    console.log(await hundred(naive, 503), await hundred(createCall, 503));
    console.log(await hundred(naive, 503, post), await hundred(createCall, 503, post));
    console.log(await hundred(createCall, 503, keyed));
    console.log(await hundred(naive, 404), await hundred(createCall, 404));
    console.log(await hundred(naive, 200), await hundred(createCall, 200));
    """
    ).stdout
    naive, hardened = seen.splitlines()[0].split()
    assert naive == "300"
    assert hardened == "119"  # ten in reserve, and one for each ten calls
    assert seen.splitlines()[1:] == ["300 100", "119", "300 100", "100 100"]


def test_an_outage_costs_a_tenth_more_calls_however_long_it_is():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{uri("outbound.mjs")}';
    let asked = 0;
    const fetch = async () => {{ asked += 1; throw new TypeError('fetch failed'); }};
    const call = createCall({{ fetch, sleep: async () => {{}} }});
    for (let i = 0; i < 5000; i += 1) await call('http://prices').catch(() => {{}});
    console.log(asked);
    """
    ).stdout
    assert seen.strip() == "5509"  # 5000, a tenth, the reserve; one tenth is left over


def test_only_what_may_be_said_twice_is_and_with_the_whole_body_each_time():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{uri("outbound.mjs")}';
    const sleep = async () => {{}};
    async function said(url, init) {{
      const bodies = [];
      const fetch = async (...asked) => {{
        const request = new Request(...asked);
        bodies.push(`${{request.method}} ${{await request.text()}}`);
        return new Response('', {{ status: 500 }});
      }};
      await createCall({{ fetch, sleep }})(url, init).catch(() => {{}});
      console.log(bodies.join());
    }}
    const url = 'http://prices.test';
    await said(url, {{ method: 'post', body: 'a' }});
    await said(new Request(url, {{ method: 'POST', body: 'a' }}));
    await said(url, {{ method: 'put', body: 'a' }});
    const body = new Blob(['stream']).stream();
    await said(url, {{ method: 'PUT', body, duplex: 'half' }});
    await said(new Request(url, {{ method: 'POST', headers: {{ 'Idempotency-Key': 'k' }} }}));
    """
    ).stdout
    assert seen.splitlines() == [
        "POST a",
        "POST a",
        "PUT a,PUT a,PUT a",
        "PUT stream,PUT stream,PUT stream",
        "POST ,POST ,POST ",
    ]


def test_a_caller_who_gives_up_ends_the_call_and_the_wait_between_two():
    seen = node.evaluate(
        f"""
    import {{ setTimeout as wait }} from 'node:timers/promises';
    import {{ createCall }} from '{uri("outbound.mjs")}';
    let asked = 0;
    const hangs = (request, {{ signal }}) => new Promise((resolve, reject) => {{
      asked += 1;
      signal.addEventListener('abort', () => reject(signal.reason));
      setImmediate(() => stop.abort(new Error('gave up')));
    }});
    const fails = async () => {{ asked += 1; throw new TypeError('fetch failed'); }};
    const sleep = (ms, value, options) => {{
      stop.abort(new Error('gave up'));
      return wait(60_000, value, options);
    }};
    const url = 'http://prices.test';
    let stop;
    for (const [options, call] of [
      [{{ fetch: hangs }}, (call) => call(url, {{ signal: stop.signal }})],
      [{{ fetch: hangs }}, (call) => call(new Request(url, {{ signal: stop.signal }}))],
      [{{ fetch: fails, sleep }}, (call) => call(url, {{ signal: stop.signal }})],
    ]) {{
      stop = new AbortController();
      asked = 0;
      const create = createCall({{ timeoutMs: 60_000, tries: 2, ...options }});
      await call(create).catch((error) => console.log(error.message, asked));
    }}
    for (const wrong of [{{ timeoutMs: '1000' }}, {{ tries: '3' }}, {{ reserve: NaN }}]) {{
      try {{ createCall(wrong); }} catch (error) {{ console.log(`${{error}}`); }}
    }}
    """
    ).stdout
    assert seen.splitlines() == [
        "gave up 1",
        "gave up 1",
        "The operation was aborted 1",
        "TypeError: timeoutMs: not a whole number, 0 or more, 2147483647 at most, but '1000'",
        "TypeError: tries: not a whole number, 1 or more, but '3'",
        "TypeError: reserve: not a whole number, 0 or more, 2147483647 at most, but NaN",
    ]


def test_an_answer_that_is_no_list_of_prices_gives_its_connection_back():
    seen = node.evaluate(
        f"""
    import {{ pricesFrom }} from '{uri("prices.mjs")}';
    const cancelled = [];
    const answers = {{
      'no such': [404, 'none'], text: [200, 'text'], nothing: [200, 'null'],
      prices: [200, '{{"tea":-1,"mug":1.5,"kettle":0,"pot":"1"}}'],
    }};
    for (const [name, [status, text]] of Object.entries(answers)) {{
      const body = new ReadableStream({{
        pull(to) {{ to.enqueue(Buffer.from(text)); to.close(); }},
        cancel() {{ cancelled.push(name); }},
      }}, {{ highWaterMark: 0 }});
      const priceOf = pricesFrom('http://x', async () => new Response(body, {{ status }}));
      await priceOf(['tea', 'mug', 'kettle', 'pot']).then(
        (prices) => console.log(JSON.stringify([...prices])),
        (error) => console.log(error.status, error.cause instanceof Error));
    }}
    console.log(cancelled.join());
    """
    ).stdout
    assert seen.splitlines() == ["503 true"] * 3 + ['[["kettle",0]]', "no such"]


def test_one_failure_is_retried_and_a_caller_who_gives_up_is_obeyed():
    seen = node.evaluate(
        f"""
    import {{ createCall }} from '{uri("outbound.mjs")}';
    let asked = 0;
    const waits = [];
    const fetch = async () => {{
      asked += 1;
      if (asked === 1) throw new TypeError('fetch failed');
      return new Response('fine', {{ status: asked === 2 ? 502 : 200 }});
    }};
    const options = {{ fetch, random: () => 0.5, sleep: async (ms) => waits.push(ms) }};
    console.log(await (await createCall(options)('http://x')).text(), waits.join());
    const signal = AbortSignal.abort();
    asked = 0;
    await createCall(options)('http://x', {{ signal }}).catch(() => console.log(asked));
    """
    ).stdout
    assert seen.splitlines() == ["fine 100,200", "1"]


HANGING = """
import {{ createServer }} from 'node:http';
import {{ createCall }} from '{call}';
import {{ pricesFrom }} from '{prices}';
let answer = 'hang';
const upstream = createServer((req, res) => {{
  if (answer === 'hang') return;
  res.statusCode = answer;
  res.end('{{"tea":500,"mug":"free"}}');
}}).listen(0, '127.0.0.1');
upstream.unref();
process.once('SIGTERM', () => upstream.close().closeAllConnections());
const priceOf = (skus) => {{
  answer = {{ 998: 'hang', 997: 404, 996: 503 }}[quantity] ?? 200;
  const url = `http://127.0.0.1:${{upstream.address().port}}`;
  // short only where it matters, or a busy machine is taken for an outage
  const options = {{ timeoutMs: answer === 'hang' ? 200 : 10_000, tries: 2 }};
  return pricesFrom(url, createCall(options))(skus);
}};
let quantity; // of the order says what the upstream does
const parse = (body) => {{
  quantity = body.items[0].quantity;
  return {{ value: body }};
}};
"""


def test_a_service_that_hangs_makes_a_503_in_time_and_no_order(api):
    before = HANGING.format(call=uri("outbound.mjs"), prices=uri("prices.mjs"))
    deps = "priceOf, parseOrder: parse"

    def order(quantity: int, sku: str = "tea") -> dict:
        return {"items": [{"sku": sku, "quantity": quantity}]}

    with api(deps=deps, before=before) as users:
        assert placed(users.ann, order(2))["total"] == 1000
        for quantity in (998, 997, 996):
            answer = place(users.ann, order(quantity))
            problem(answer, 503)
            assert answer.headers["Retry-After"] == "5"
        problem(place(users.ann, order(1, "mug")), 409)  # no price is no sale
        assert count(users.ann) == 1


def test_the_naive_call_waits_for_a_service_that_hangs(api):
    before = HANGING.format(call=uri("outbound.naive.mjs"), prices=uri("prices.mjs"))
    deps = "priceOf, parseOrder: parse"
    with api(deps=deps, before=before) as users:
        body = {"items": [{"sku": "tea", "quantity": 998}]}
        headers = {"Idempotency-Key": "a-1"}
        with pytest.raises(httpx.ReadTimeout):  # five times what the other one waits
            users.ann.post("/orders", json=body, headers=headers, timeout=2)
        assert users.ann.get("/health").status_code == 200


# --- a client that leaves -----------------------------------------------------------

LEAVING = """
import { once } from 'node:events';
import { createServer, request } from 'node:http';
const logged = [];
const logger = { error: (fields, message) => logged.push(message) };
const authenticate = () => ({ id: 'ann' });
const listen = async (app) => {
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};
/** Places an order, and can hang up. */
const order = (server, key = 'a-1') => {
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': key };
  const { port } = server.address();
  const asked = request({ port, method: 'POST', path: '/orders', headers });
  asked.on('error', () => {}); // of our own hanging up
  asked.end('{"items":[{"sku":"tea","quantity":1}]}');
  return asked;
};
/** How many orders there are, as the next request finds. */
const count = async (server) => {
  const answer = await fetch(`http://127.0.0.1:${server.address().port}/orders`);
  return (await answer.json()).items.length;
};
const end = (server) => server.close().closeAllConnections();
"""


def test_express_goes_on_for_a_client_that_has_left():
    seen = node.evaluate(
        f"""
    import express from 'express';
    {LEAVING}
    const app = express();
    const work = new EventTarget();
    app.post('/orders', async (req, res) => {{
      const left = once(res, 'close');
      work.dispatchEvent(new Event('begun'));
      await left;
      res.status(201).json({{ placed: true }});
      console.log('to its end');
      end(server);
    }});
    const server = await listen(app);
    const begun = once(work, 'begun');
    const asked = order(server);
    await begun;
    asked.destroy();
    """
    ).stdout
    assert seen.strip() == "to its end"


def test_who_hangs_up_while_prices_are_asked_for_ends_that_and_leaves_no_order():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{uri("orders.mjs")}';
    import {{ createCall }} from '{uri("outbound.mjs")}';
    import {{ pricesFrom }} from '{uri("prices.mjs")}';
    {LEAVING}
    let answers = false;
    const upstream = await listen((req, res) => {{
      if (answers) res.end('{{"tea":799}}');
      upstream.emit('asked', res);
    }});
    const call = createCall({{ timeoutMs: 60_000 }});
    const priceOf = pricesFrom(`http://127.0.0.1:${{upstream.address().port}}`, call);
    const app = createApp({{ authenticate, logger, priceOf }});
    const server = await listen(app);
    const first = order(server);
    const [asked] = await once(upstream, 'asked');
    first.destroy();
    await once(asked, 'close'); // the price service is told
    console.log(await count(server), logged.length);
    answers = true;
    const [answer] = await once(order(server), 'response'); // the same key
    console.log(answer.statusCode, await count(server));
    [server, upstream].forEach(end);
    """
    ).stdout
    assert seen.splitlines() == ["0 0", "201 1"]


def test_work_that_does_not_listen_is_over_before_the_write_and_an_answer_is_no_end():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from '{uri("orders.mjs")}';
    {LEAVING}
    const signals = [];
    let come;
    let price = new Promise((resolve) => {{ come = resolve; }});
    const waiting = new EventTarget();
    const priceOf = async (skus, {{ signal }}) => {{
      signals.push(signal);
      waiting.dispatchEvent(new Event('asked'));
      await price;
      return new Map([['tea', 799]]);
    }};
    const server = await listen(createApp({{ authenticate, logger, priceOf }}));
    const asked = once(waiting, 'asked');
    const first = order(server);
    await asked;
    first.destroy();
    await once(signals[0], 'abort');
    come();
    console.log(signals[0].reason.status, await count(server), logged.length);
    const [answer] = await once(order(server), 'response');
    await once(answer.resume(), 'end');
    console.log(answer.statusCode, await count(server), signals[1].aborted);
    end(server);
    await once(server, 'close');
    console.log(signals[1].aborted, logged.length);
    """
    ).stdout
    assert seen.splitlines() == ["499 0 0", "201 1 false", "false 0"]


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
                limiter=uri("api.mjs", "rate-limiting"),
                cors=uri("cors.mjs"),
                orders=uri("orders.mjs"),
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
    import {{ createApp as limited }} from '{uri("api.mjs", "rate-limiting")}';
    import {{ createApp as orders }} from '{uri("orders.mjs")}';
    import {{ createStore }} from '{uri("store.mjs")}';
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
        with node.serve(path) as server:
            context = named_hosts()
            page = context.new_page()
            try:
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
            finally:
                page.close()
                context.clear_cookies()

    return serve


def test_in_a_browser_the_list_of_origins_decides_who_reads(visit):
    with visit(uri(HARDENED)) as (fetch, asked):
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


@pytest.mark.claim("rest-apis/cors-protects")
def test_in_a_browser_a_request_without_preflight_is_executed_all_the_same(visit):
    with visit(uri(HARDENED)) as (fetch, asked):
        assert fetch("evil.test") == {"error": "TypeError"}
        assert asked() == ["GET"]  # with Ann's cookie; the answer was thrown away
        plain = {"method": "POST", "body": json.dumps(ORDER)}  # text/plain
        assert fetch("evil.test", **plain) == {"error": "TypeError"}
        assert asked() == ["POST"]
        found = json.loads(fetch("shop.test")["text"])
        assert found["items"] == []  # what saved it: 415, and not CORS


def test_in_a_browser_the_naive_api_is_any_sites(visit):
    with visit(uri(NAIVE)) as (fetch, asked):
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
    import {{ createApp }} from '{uri("orders.mjs")}';
    for (const origins of [['*'], ['null'], ['https://shop.test/'], ['shop.test'],
        [/shop/], 'https://shop.test', ['https://shop.test', 'https://SHOP.test']]) {{
      try {{ createApp({{ origins }}); }} catch (error) {{ console.log(error.name); }}
    }}
    createApp({{ origins: ['https://shop.test:8443', 'http://localhost:3000'] }});
    """
    ).stdout
    assert seen.split() == ["TypeError"] * 7


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


# --- the contract -------------------------------------------------------------------

# where the tool and the specifications differ, the specifications are followed
JUDGE = """
[checks.missing_required_header]
expected-statuses = [400, 428] # RFC 6585: no If-Match is a 428
[checks.negative_data_rejection] # RFC 9110, 13.2.1: If-Match is before the content
expected-statuses = [400, 401, 404, 405, 409, 412, 415, 422, 428]
[checks.positive_data_acceptance] # a made-up version is not the order's
expected-statuses = ["2xx", 401, 404, 409, 412]
[[operations]]
include-name = "POST /orders" # a key that was used for another order is a 422
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 422]
"""


def findings(users: Users, folder: Path, *options: str) -> list[str]:
    """What Schemathesis holds against the API by its own document: the codes of the
    checks that failed."""
    (folder / "judge.toml").write_text(JUDGE)
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file", folder / "judge.toml", "run",
            f"{users.server.url}/openapi.json", "--max-examples", "3", "--seed", "1",
            *options,
            "-H", "Authorization: Bearer ann-key", "--no-color", "--no-shrink",
            "--generation-database", "none",
        ],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    found = re.findall(r"^- (ST\d+) ", done.stdout, re.MULTILINE)
    assert (done.returncode == 1) == bool(found), done.stdout[-2000:]
    return sorted(set(found))


@pytest.mark.claim("rest-apis/document-is-the-api")
def test_the_apis_own_document_convicts_the_naive_twin(api, tmp_path):
    with api(NAIVE) as users:
        found = findings(users, tmp_path, "--phases", "coverage")
    # server error, undocumented status, media type and body, invalid data accepted,
    # wrong answer to a method that is not there
    assert {"ST101", "ST103", "ST105", "ST108", "ST201", "ST204"} <= set(found)


@pytest.mark.claim("rest-apis/document-is-the-api")
def test_the_apis_own_document_finds_nothing_against_the_hardened_one(api, tmp_path):
    with api(HARDENED) as users:
        assert findings(users, tmp_path) == []


def test_the_document_is_served_and_says_what_a_client_may_send(api):
    with api() as users:
        document = users.nobody.get("/openapi.json").json()
        post = document["paths"]["/orders"]["post"]
        schema = post["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]) == {"items", "note"}
        assert schema["additionalProperties"] is False
        allowed = users.ann.request("PUT", "/orders").headers["Allow"]
        said = {verb.upper() for verb in document["paths"]["/orders"]} | {"HEAD"}
        assert set(allowed.split(", ")) == said


# --- connections --------------------------------------------------------------------


class Relay:
    """Passes bytes on to a port at once, and the end of a connection only after the
    client has sent something more, as a slow network may: until then, the client
    believes in a connection that is closed."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = threading.Semaphore(0)  # one for each end that the server sent
        self.sockets, self.threads = [], []
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self.threads:
            thread.join(5)

    def _start(self, work, *args) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                self.sockets += [client, server]
                ended, believed = threading.Event(), threading.Event()
                self._start(self._ask, client, server, ended, believed)
                self._start(self._answer, server, client, ended, believed)

    def _ask(self, client, server, ended, believed) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                late = ended.is_set()
                with contextlib.suppress(OSError):
                    server.sendall(data)
                if late:
                    believed.set()
        believed.set()  # the client has ended it, too
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server, client, ended, believed) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        ended.set()
        self.closed.release()
        believed.wait(20)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def served(keep_alive_ms: int, **env: str):
    env = {"KEEP_ALIVE_MS": str(keep_alive_ms), "DRAIN_MS": "0", **env}
    env["USERS"] = json.dumps(USERS)
    with node.serve(f"{TOPIC}/server.mjs", env=env) as server:
        yield server


def post_on(connection: http.client.HTTPConnection, key: str) -> int | None:
    """None: no answer, and no way to know whether there is an order."""
    headers = {
        "Authorization": "Bearer ann-key",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    try:
        connection.request("POST", "/orders", json.dumps(ORDER), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (http.client.RemoteDisconnected, ConnectionError):
        return None


def reuse(keep_alive_ms: int, count: int = 10) -> list[int | None]:
    """`count` connections carry a POST each and rest; then each carries another, at
    the moment the server has closed it, or after as long a rest if it does not."""
    with served(keep_alive_ms) as server, Relay(server.port) as relay:
        pool = [
            http.client.HTTPConnection("127.0.0.1", relay.port, timeout=10)
            for _ in range(count)
        ]
        try:
            assert [post_on(c, f"a-{n}") for n, c in enumerate(pool)] == [201] * count
            for connection in pool:
                connection.auto_open = 0  # as a proxy's pool: this one or none
            for _ in pool:
                relay.closed.acquire(timeout=5 if keep_alive_ms < 1000 else 0.15)
            return [post_on(c, f"b-{n}") for n, c in enumerate(pool)]
        finally:
            for connection in pool:
                connection.close()


@pytest.mark.claim("rest-apis/gateway-502")
def test_a_connection_that_the_server_closes_first_loses_every_request_on_its_way():
    assert reuse(200) == [None] * 10  # it closed them after 200 ms, and a second
    assert reuse(75_000) == [201] * 10
    defaults = node.evaluate(
        """
    import { createServer } from 'node:http';
    const server = createServer();
    console.log(server.keepAliveTimeout, server.keepAliveTimeoutBuffer ?? 0);
    """
    ).stdout
    assert defaults.split()[0] == "5000"


@pytest.mark.claim("rest-apis/gateway-502")
def test_nginx_hides_the_race_from_a_get_and_not_from_a_post(nginx_proxy):
    codes = {}
    for method in ("GET", "POST"):
        with served(200) as server, Relay(server.port) as relay:
            proxy = nginx_proxy(f"http://127.0.0.1:{relay.port}", keepalive=4)
            headers = {"Authorization": "Bearer ann-key"}
            with httpx.Client(base_url=proxy.url, headers=headers) as ann:
                assert ann.get("/orders").status_code == 200
                assert relay.closed.acquire(timeout=5)
                answer = ann.get("/orders") if method == "GET" else place(ann)
                codes[method] = answer.status_code
    assert codes == {"GET": 200, "POST": 502}


@pytest.mark.parametrize(
    "env", [{"PORT": ""}, {"KEEP_ALIVE_MS": "75s"}, {"DRAIN_MS": "-1"}, {"DRAIN_MS": ""}]
)
def test_a_server_with_a_wrong_number_in_its_environment_does_not_start(env):
    done = node.run(f"{TOPIC}/server.mjs", env=env, code=1)
    assert f"Error: {next(iter(env))}: a whole number" in done.stderr


def last_on_its_connection(client: httpx.Client) -> bool:
    return client.get("/ready").headers["connection"] == "close"


def test_a_server_that_stops_says_so_serves_on_and_then_ends(tmp_path):
    database = str(tmp_path / "orders.db")
    with served(75_000, DRAIN_MS="2500", DATABASE=database) as server:
        with contextlib.closing(Users(server)) as users:
            assert users.nobody.get("/ready").json() == {"ok": True}
            os.kill(server.pid, 15)
            process.until(lambda: users.nobody.get("/ready").status_code == 503)
            os.kill(server.pid, 15)  # a second time, say to the group: nothing changes
            order = placed(users.ann)  # who was sent here before is still served
            assert users.nobody.get("/health").status_code == 200
            held = load.Held(f"{server.url}/orders")  # half a request, for the end
            for client in (users.nobody, users.ann):  # each connection is told
                process.until(lambda: last_on_its_connection(client))  # noqa: B023
            held.release()
            assert held.answer()[0] == 401  # it was on its way, so it is answered
            process.until(lambda: not server.alive())
    with served(75_000, DATABASE=database) as server:
        with contextlib.closing(Users(server)) as users:
            assert users.ann.get(f"/orders/{order['id']}").json() == order
