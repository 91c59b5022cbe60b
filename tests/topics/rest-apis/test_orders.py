"""The resource: methods, status codes, whose order it is."""

import base64
import json
import re

import pytest

from lab.run import node

from .shared import (
    MERGE,
    MUGS,
    NAIVE,
    ORDER,
    TOPIC,
    Users,
    at,
    count,
    place,
    placed,
    problem,
)


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
