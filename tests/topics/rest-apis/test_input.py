"""What a client may say: bodies, types, encodings."""

import json

import httpx
import pytest

from lab.run import node

from .shared import (
    MERGE,
    MUGS,
    NAIVE,
    ORDER,
    TOPIC,
    at,
    count,
    place,
    placed,
    problem,
)

# --- what a client may say ----------------------------------------------------------


def parsed(body: object) -> dict:
    source = f"""
    import {{ parseOrder }} from '{node.uri("rest-apis/order.mjs")}';
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
    module = node.uri(f"{topic}/{parser.split('/')[-1]}")
    before = f"import {{ parseOrder }} from '{module}';"
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
    import {{ parseOrder as parse }} from '{node.uri("rest-apis/order.mjs")}';
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
    import {{ mergePatch }} from '{node.uri("rest-apis/patch.mjs")}';
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


def test_an_empty_body_is_no_order(api):
    kind = {"Content-Type": "application/json", "Idempotency-Key": "a-1"}
    with api() as users:
        answer = users.ann.post("/orders", headers={**kind, "Content-Length": "0"})
        problem(answer, 422)
        assert count(users.ann) == 0
