"""The body before any schema: size, depth, type, prototypes."""

import json
import subprocess

import pytest

from lab.run import node

from . import corpus
from .shared import BASE, TOPIC, served

# --- the body -----------------------------------------------------------------------


@pytest.mark.claim("validation/body-is-an-object", verdict="wrong")
def test_a_text_body_is_undefined_and_the_naive_handler_answers_500(app):
    source = """
    import express from 'express';
    export function createApp() {
      const app = express();
      app.post('/', express.json(), (req, res) => res.json(req.body.name.trim()));
      app.use((error, req, res, next) =>
        res.status(error.status ?? 500).send(error.name));
      return app;
    }
    """
    plain = {"content": '{"name":"a"}', "headers": {"Content-Type": "text/plain"}}
    with app(source) as c:
        answer = c.post("/", **plain)
        assert (answer.status_code, answer.text) == (500, "TypeError")
        assert c.post("/", json={"name": ["a"]}).status_code == 500
        assert c.post("/", json={"name": "a" * 102_400}).status_code == 413
        assert c.post("/", json={"name": "a" * 102_000}).status_code == 200
    with served("reviews.mjs") as server, server.client() as c:
        answer = c.post("/reviews", **plain)
        assert answer.status_code == 415
        assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_deep_and_large_json_pass_the_naive_limit_and_not_the_hardened_one():
    def nested(times):
        return '{"text":"a","replies":[' * times + '{"text":"a"}' + "]}" * times

    headers = {"Content-Type": "application/json"}
    deep = {"content": nested(3500), "headers": headers}  # 90 kB
    large = {"content": json.dumps({"text": "a" * 5_000_000}), "headers": headers}
    fine = {"content": nested(9), "headers": headers}
    too_deep = {"content": nested(10), "headers": headers}
    for snippet, codes in (
        ("threads.naive.mjs", [201, 201, 500, 400]),  # 5 MB were parsed, to say 400
        ("threads.mjs", [201, 422, 422, 413]),
    ):
        with served(snippet) as server, server.client() as c:
            sent = (fine, too_deep, deep, large)
            assert [c.post("/threads", **one).status_code for one in sent] == codes


def test_an_error_says_where_by_pointer_and_never_what():
    body = {**BASE, "rating": "5", "tags": ["a", 5], "a/b": "secret", "\u00e9": 1}
    with served("reviews.mjs") as server, server.client() as c:
        answer = c.post("/reviews", json=body)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["title"]) == (422, "Invalid body")
    pointers = [error["pointer"] for error in problem["errors"]]
    assert pointers == ["#/rating", "#/tags/1", "#/a~1b", "#/%C3%A9"]
    assert "secret" not in answer.text


def test_a_fault_of_the_app_is_not_the_clients(app):
    source = """
    import express from 'express';
    import { bodyErrors, jsonBody } from '@/validation/validate.mjs';
    export function createApp() {
      const app = express();
      app.post('/', jsonBody(), () => { throw new Error('ours'); });
      // what the client of a payment service may throw
      app.post('/upstream', () => {
        throw Object.assign(new Error('ours'), { status: 402, type: 'card' });
      });
      app.use(bodyErrors);
      app.use((error, req, res, next) => res.status(500).send('reported'));
      return app;
    }
    """
    with app(source) as c:
        for url in ("/", "/upstream"):
            answer = c.post(url, json={})
            assert (answer.status_code, answer.text) == (500, "reported")
        assert c.post("/", content=b"{", headers={"Content-Type": "application/json"}).json()[
            "title"
        ] == "The body was refused: entity.parse.failed"  # fmt: skip


def test_a_parser_that_takes_its_time_is_waited_for(app):
    source = """
    import express from 'express';
    import { jsonBody, validate } from '@/validation/validate.mjs';
    import { parseOrder } from '@/validation/order.mjs';
    export function createApp() {
      const app = express();
      const later = validate(async (body) => parseOrder(body));
      const fails = validate(async () => { throw new Error('ours'); });
      app.post('/', jsonBody(), later, (req, res) => res.json(req.body));
      app.post('/fails', jsonBody(), fails, (req, res) => res.json(req.body));
      return app;
    }
    """
    with app(source) as c:
        assert c.post("/", json={"items": []}).status_code == 422
        assert c.post("/", json=ORDER).json() == ORDER
        assert c.post("/fails", json=ORDER).status_code == 500


def test_the_answer_does_not_grow_with_the_names_that_a_client_sends():
    body = {**BASE, **{f"{n}" + "\U0001f375" * 2000: 1 for n in range(4)}}
    with served("reviews.mjs") as server, server.client() as c:
        text = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        answer = c.post("/reviews", content=text, headers=headers)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 4
    assert len(answer.content) < len(text) / 10


@pytest.mark.parametrize(
    "log",
    ["async () => { throw new Error('disk-7') }", "() => { throw new Error('disk-7') }"],
)
def test_a_log_that_fails_takes_no_review_and_no_process_with_it(tmp_path, log):
    path = tmp_path / "reviews.mjs"
    path.write_text(node.with_deps(f"{TOPIC}/reviews.mjs", "log", f"const log = {log};"))
    with node.serve(path) as server, server.client() as c:
        for name in ("Ann", "Bob"):
            assert c.post("/reviews", json={**BASE, "name": name}).status_code == 201
            assert "Good tea" in c.get("/reviews", params={"name": name}).text
        assert "disk-7" in server.output()


def test_each_character_that_could_end_a_text_or_an_attribute_is_encoded():
    seen = node.evaluate(
        """
    import { html } from './validation/html.mjs';
    const text = `&<>"'`;
    console.log(html`<a title='${text}' rel="${text}">${text}</a>`.toString());
    console.log(html`${[text, html`<b>`]}${null}${undefined}${7}`.toString());
    """
    ).stdout
    encoded = "&#38;&#60;&#62;&#34;&#39;"
    assert seen.splitlines() == [
        f"<a title='{encoded}' rel=\"{encoded}\">{encoded}</a>",
        f"{encoded}<b>7",
    ]


ORDER = {"items": [{"sku": "tea", "quantity": 2}]}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (ORDER, None),
        ({**ORDER, "note": "For O'Brien <3"}, None),
        ({**ORDER, "total": 1, "status": "paid"}, ["#/total", "#/status"]),
        ({"items": []}, ["#/items"]),
        ({}, ["#/items"]),
        ({"items": [{"sku": "tea", "quantity": 0}]}, ["#/items/0/quantity"]),
        ({"items": [{"sku": "tea", "quantity": "2"}]}, ["#/items/0/quantity"]),
        ({"items": [{"sku": "tea", "quantity": 1000}]}, ["#/items/0/quantity"]),
        ({"items": [{"sku": "x", "quantity": 1, "priceCents": 1}]},
         ["#/items/0/priceCents"]),
        ({"items": [*ORDER["items"], *ORDER["items"]]}, ["#/items/1/sku"]),
        ({**ORDER, "note": "x" * 501}, ["#/note"]),
        ({**ORDER, "note": None}, ["#/note"]),
        ([], ["#"]),
        (None, ["#"]),
    ],
)  # fmt: skip
def test_an_order_is_parsed_by_the_contract(body, pointers):
    seen = json.loads(
        node.evaluate(
            f"""
    import {{ parseOrder }} from './validation/order.mjs';
    console.log(JSON.stringify(parseOrder({json.dumps(body)})));
    """
        ).stdout
    )
    if pointers is None:
        assert seen == {"value": body}
    else:
        assert [error["pointer"] for error in seen["errors"]] == pointers
        assert all(set(error) == {"pointer", "detail"} for error in seen["errors"])


def test_a_patch_of_an_order_is_judged_by_the_order_that_it_makes():
    seen = node.evaluate(
        """
    import { parseOrderPatch } from './validation/order.mjs';
    const order = { items: [{ sku: 'tea', quantity: 1 }], note: 'x', total: 799 };
    const twice = [...order.items, ...order.items];
    for (const patch of [{}, { note: 'y' }, { note: null }, { items: [] }, { items: null },
        { items: twice }, { status: 'paid' }, [], null]) {
      const { value, errors } = parseOrderPatch(patch, order);
      console.log(JSON.stringify(value ?? errors.map((e) => e.pointer)));
    }
    console.log(parseOrderPatch({ note: 'y' }, undefined).errors[0].pointer);
    """
    ).stdout
    items = '{"items":[{"sku":"tea","quantity":1}]'
    assert seen.splitlines() == [
        f'{items},"note":"x"}}',  # an empty patch is one: it changes nothing
        f'{items},"note":"y"}}',
        f"{items}}}",
        '["#/items"]',
        '["#/items"]',
        '["#/items/1/sku"]',
        '["#/status"]',
        '["#"]',
        '["#"]',
        "#/items",  # where there is nothing to patch
    ]


# --- prototypes ---------------------------------------------------------------------

POLLUTED = '{"__proto__":{"isAdmin":true},' + corpus.MEMBERS + "}"


def test_one_review_makes_every_visitor_an_admin_in_the_naive_app_only():
    headers = {"Content-Type": "application/json"}
    for snippet, answers in (
        ("reviews.naive.mjs", (201, 200)),
        ("reviews.mjs", (422, 403)),
    ):
        with served(snippet) as server, server.client() as c:
            assert c.get("/admin").status_code == 403
            sent = c.post("/reviews", content=POLLUTED, headers=headers).status_code
            assert (sent, c.get("/admin").status_code) == answers


@pytest.mark.claim("validation/json-drops-proto", verdict="wrong")
def test_proto_survives_json_and_a_careless_merge_sets_the_prototype():
    seen = node.evaluate(
        """
    import { merge as hardened } from './validation/merge.mjs';
    import { merge as naive } from './validation/merge.naive.mjs';
    const sent = JSON.parse('{"__proto__":{"isAdmin":true}}');
    console.log(Object.keys(sent).join(), sent.isAdmin);
    console.log({ ...sent }.isAdmin, Object.assign({}, sent).isAdmin, {}.isAdmin);
    const merged = hardened({ a: { b: 1 } }, sent);
    console.log(merged.isAdmin, {}.isAdmin, merged.a.b);
    const constructor = JSON.parse('{"constructor":{"prototype":{"isAdmin":true}}}');
    hardened({}, constructor);
    hardened({ a: [] }, JSON.parse('{"a":{"__proto__":{"isAdmin":true}}}'));
    console.log({}.isAdmin, [].isAdmin);
    console.log(JSON.stringify(hardened({ a: { b: 1, c: [1] } }, { a: { c: [2], d: 3 } })));
    try { naive({}, constructor); } catch (e) { console.log(e.name, {}.isAdmin); }
    delete Object.prototype.isAdmin;
    naive({}, sent);
    console.log({}.isAdmin);
    """
    ).stdout
    assert seen.splitlines() == [
        "__proto__ undefined",  # an own property, and no prototype yet
        "undefined true undefined",  # assign() sets that one object's prototype
        "undefined undefined 1",
        "undefined undefined",
        '{"a":{"b":1,"c":[2],"d":3}}',
        "TypeError true",  # too late
        "true",
    ]


def test_node_can_be_told_to_do_without_the_accessor():
    done = subprocess.run(
        [node.binary(), "--disable-proto=delete", "--input-type=module", "--eval",
         ("import { merge } from './validation/merge.naive.mjs';"
         "merge({}, JSON.parse('{\"__proto__\":{\"isAdmin\":true}}'));"
         "console.log({}.isAdmin)")],
        cwd=node.SNIPPETS, capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    assert done.stdout.strip() == "undefined"
