"""What docs/chapters/validation.md says, run. The corpus is in validation_corpus.json,
what sends it in validation_corpus.py."""

import collections
import contextlib
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import pytest
import validation_corpus as corpus

from lab.record import evidence, figure
from lab.run import node

TOPIC = "validation"
SOURCE = "tests/chapters/test_validation.py"
BASE = corpus.BASE


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def served(snippet: str):
    return node.serve(f"{TOPIC}/{snippet}")


@pytest.fixture
def app(tmp_path):
    """Serves JavaScript that exports createApp, with the snippets' packages."""
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")

    @contextlib.contextmanager
    def serve(source: str):
        path = tmp_path / "app.mjs"
        folder = node.resolve(f"{TOPIC}/rules.mjs").parent.parent.as_uri()
        path.write_text(textwrap.dedent(source).replace("@/", f"{folder}/"))
        with node.serve(path) as server, server.client() as client:
            yield client

    return serve


# --- the corpus ---------------------------------------------------------------------


def test_the_corpus_is_large_documented_and_says_nothing_twice():
    all_ = list(corpus.inputs())
    counts = collections.Counter(given.kind for given in all_)
    assert counts["hostile"] >= 200
    assert counts["honest"] >= 100
    sent = {(one.body, one.query, str(one.headers)) for one in all_}
    assert len(sent) == len(all_)
    for group in corpus.CORPUS["groups"]:
        assert len(group["why"]) > 4
        assert group["from"]
        assert group["outcome"] in ("inert", "type", "shape", "size")


REASONS = {
    "type": r"Invalid input|expected",
    "size": r"Too (big|small)",
    "shape": r"Unknown field|Invalid (string|option)|Must be an https",
}


@pytest.mark.parametrize("variant", ["zod", "express-validator"])
def test_nothing_of_the_corpus_reaches_a_sink_and_nobody_honest_is_lost(
    variant, tmp_path
):
    fates = corpus.run(variant, tmp_path)
    assert len(fates) == len(list(corpus.inputs()))
    wrong = []
    for fate in fates:
        given = fate.given
        errors = fate.answer.get("errors", [])
        pointers = [error["pointer"] for error in errors]
        status = 400 if given.body is None else given.status
        if fate.effects or fate.lost or fate.status != status:
            wrong.append(f"{given} {fate.status} {fate.effects}")
        elif given.at is not None and given.at not in pointers:
            wrong.append(f"{given} {pointers}, not {given.at}")
        elif given.at is not None and variant == "zod":
            said = " ".join(e["detail"] for e in errors if e["pointer"] == given.at)
            if not re.search(REASONS[given.outcome], said):
                wrong.append(f"{given}: {said!r} is not about {given.outcome}")
        assert len(errors) <= 20
    assert not wrong, "\n".join(wrong)


@pytest.mark.claim("validation/schema-makes-safe")
def test_a_strict_schema_in_front_of_naive_sinks_keeps_out_what_is_no_review_only(
    tmp_path,
):
    only = ("sql", "html", "prototype", "mass", "type-text", "apostrophes", "prose")
    fates = corpus.run("strict schema, naive sinks", tmp_path, only)
    effects = collections.Counter(effect for fate in fates for effect in fate.effects)
    assert not effects.keys() & {"prototype", "assigned", "admitted"}
    assert effects["sql"] > 5
    assert effects["html"] > 40
    lost = [fate for fate in fates if fate.lost]
    assert any(b"O'Brien" in fate.given.body for fate in lost)


# --- what a validator does and does not ---------------------------------------------


@pytest.mark.claim("validation/is-email-validates")
def test_without_validation_result_an_invalid_email_is_answered_validated(app):
    with served("chain.naive.mjs") as server, server.client() as c:
        for body in ({"email": "nonsense"}, {}, {"email": {"$gt": ""}}):
            answer = c.post("/user", json=body)
            assert (answer.status_code, answer.text) == (200, "Validated")
    source = """
    import express from 'express';
    import { validationResult } from 'express-validator';
    import { validateReview } from '@/validation/chain.naive.mjs';
    export function createApp() {
      const app = express();
      app.post('/user', express.json(), validateReview, (req, res) =>
        res.sendStatus(validationResult(req).isEmpty() ? 200 : 400));
      return app;
    }
    """
    with app(source) as c:
        assert c.post("/user", json={"email": "nonsense"}).status_code == 400
        assert c.post("/user", json={"email": "ann@shop.test"}).status_code == 200


CHAINS = """
import { body, checkExact, matchedData, validationResult } from 'express-validator';
async function run(chains, sent) {
  const req = { body: sent, query: {}, params: {}, headers: {}, cookies: {} };
  for (const chain of [chains].flat()) await chain.run(req);
  return [validationResult(req).isEmpty(), req, matchedData(req)];
}
const passes = async (chains, sent) => (await run(chains, sent))[0];
"""


@pytest.mark.claim("validation/stops-injection")
def test_an_email_that_passes_is_sql_and_html_all_the_same():
    seen = node.evaluate(
        CHAINS
        + """
    import { open } from './validation/database.mjs';
    import { page } from './validation/page.naive.mjs';
    const db = open();
    for (const email of ['"<script>alert(1)</script>"@example.com',
        "a'or'1'='1@example.com", "admin'--@example.com"]) {
      console.log(await passes(body('email').isEmail(), { email }));
    }
    const email = "ann'--@example.com";
    const sql = `SELECT * FROM cards WHERE owner = '${email}' AND number = 'x'`;
    console.log(await passes(body('email').isEmail(), { email }),
      db.prepare(sql).all().length,
      db.prepare('SELECT * FROM cards WHERE owner = ?').all(email).length);
    const html = page([{ name: '"<script>alert(1)</script>"@example.com', tags: [] }]);
    console.log(html.includes('<script>alert(1)</script>'));
    """
    ).stdout
    assert seen.split() == ["true"] * 4 + ["1", "0", "true"]


@pytest.mark.claim("validation/string-is-a-string")
def test_a_list_passes_is_email_until_the_type_is_asked_first():
    seen = node.evaluate(
        CHAINS
        + """
    for (const email of [[], ['a@b.co'], [['a@b.co']], 'a@b.co', 5]) {
      console.log(await passes(body('email').isEmail(), { email }),
        await passes(body('email').isString().bail().isEmail(), { email }));
    }
    """
    ).stdout
    assert seen.splitlines() == [
        *["true false"] * 3,  # lists
        "true true",
        "false false",
    ]


@pytest.mark.claim("validation/only-validated-fields")
def test_a_field_that_nobody_validated_reaches_the_handler():
    seen = node.evaluate(
        CHAINS
        + """
    const sent = { email: 'a@b.co', role: 'admin' };
    const [ok, req, matched] = await run(body('email').isEmail(), sent);
    console.log(ok, req.body.role, matched.role);
    const exact = checkExact([body('email').isEmail()], { locations: ['body'] });
    console.log(await passes(exact, sent));
    """
    ).stdout
    assert seen.splitlines() == ["true admin undefined", "false"]


@pytest.mark.claim("validation/check-exact-is-exact")
def test_check_exact_misses_the_names_that_every_object_has():
    seen = node.evaluate(
        CHAINS
        + """
    const exact = () =>
      checkExact([body('email').isEmail()], { locations: ['body'] });
    const names = Object.getOwnPropertyNames(Object.prototype);
    const missed = [];
    for (const name of names) {
      const sent = JSON.parse(`{"email":"a@b.co","${name}":1}`);
      const [ok, req, matched] = await run(exact(), sent);
      if (ok) missed.push(name);
      if (Object.hasOwn(matched, name)) throw new Error(name);
    }
    console.log(missed.length === names.length, missed.includes('toString'));
    console.log(await passes(exact(), { email: 'a@b.co', other: 1 }));
    for (const sent of ['{"email":"a@b.co","toString":null}']) {
      console.log(await passes(exact(), JSON.parse(sent)).catch((e) => e.name));
    }
    const items = checkExact([body('items.*.sku').isString()], { locations: ['body'] });
    console.log(await passes(items, { items: [null] }).catch((e) => e.name));
    const whole = [body().isObject(), body('email').isEmail()];
    console.log(await passes(checkExact(whole, { locations: ['body'] }),
      { email: 'a@b.co', role: 'admin' }));
    """
    ).stdout
    assert seen.splitlines() == [
        "true true",  # all of them pass, as names of scalars
        "false",
        "TypeError",  # which Express answers with 500
        "TypeError",
        "true",  # a chain for the whole body turns it off
    ]


@pytest.mark.claim("validation/escape-on-input")
def test_escaping_input_stores_other_names_than_people_have():
    assert output("lost.mjs") == [
        "escape on input: of 1000 names 312 are stored, 312 are shown otherwise",
        "encode on output: of 1000 names 0 are stored, 0 are shown otherwise",
    ]
    seen = node.evaluate(
        CHAINS
        + """
    const [, req] = await run(body('name').escape(), { name: "O'Brien & co" });
    console.log(req.body.name);
    const [, other] = await run(body('id').escape(), { id: '0 OR 1=1' });
    console.log(other.body.id);
    const [, link] = await run(body('link').escape(), { link: 'javascript:alert(1)' });
    console.log(link.body.link);
    """
    ).stdout
    assert seen.splitlines() == [
        "O&#x27;Brien &amp; co",
        "0 OR 1=1",  # and where there are no quotes, it changes nothing
        "javascript:alert(1)",
    ]


SANITIZERS = """
import express from 'express';
import { createRequire } from 'node:module';
const require = createRequire('@/_specimens/');
export function createApp() {
  const app = express();
  app.use(express.json());
  app.use(require('%s')());
  app.get('/', (req, res) => res.json({ name: req.query.name }));
  app.post('/', (req, res) => res.json({ name: req.body.name }));
  app.use((error, req, res, next) => res.status(500).send(error.message));
  return app;
}
"""


@pytest.mark.claim("validation/sanitising-packages")
def test_express_mongo_sanitize_fails_every_request_and_hpp_does_nothing(app):
    with app(SANITIZERS % "express-mongo-sanitize") as c:
        for answer in (c.get("/"), c.get("/?name=a"), c.post("/", json={"name": "a"})):
            assert answer.status_code == 500
            assert "has only a getter" in answer.text
    with app(SANITIZERS % "hpp") as c:
        assert c.get("/?name=a&name=b").json() == {"name": ["a", "b"]}
        # and it never looks at JSON
        assert c.post("/", json={"name": ["a", "b"]}).json() == {"name": ["a", "b"]}


def test_on_express_4_both_packages_did_what_they_say(app):
    with app(SANITIZERS.replace("'express'", "'express4'") % "hpp") as c:
        assert c.get("/?name=a&name=b").json() == {"name": "b"}
    four = SANITIZERS.replace("'express'", "'express4'") % "express-mongo-sanitize"
    with app(four) as c:
        assert c.get("/?name[$gt]=").json() == {"name": {}}


def test_operators_are_no_text_whoever_parses_the_query(app):
    source = """
    import express from 'express';
    import { parseLogin } from '@/validation/accounts.mjs';
    export function createApp() {
      const app = express();
      app.set('query parser', 'extended');
      app.get('/', (req, res) => res.json([req.query, !parseLogin(req.query).errors]));
      return app;
    }
    """
    with app(source) as c:
        query, valid = c.get("/?email=ann@shop.test&password[$ne]=x").json()
        assert query["password"] == {"$ne": "x"}
        assert not valid
        assert c.get("/?email=ann@shop.test&password=x").json()[1]


@pytest.mark.claim("validation/coerce-converts")
def test_coercion_takes_false_for_true_and_nothing_for_zero():
    seen = node.evaluate(
        """
    import { z } from 'zod';
    console.log(z.coerce.boolean().parse('false'), z.stringbool().parse('false'));
    console.log(z.coerce.number().parse(''), z.coerce.number().parse(null),
      z.coerce.number().parse([7]), z.coerce.string().parse(undefined),
      z.coerce.date().parse(null).getTime());
    """
    ).stdout
    assert seen.splitlines() == ["true false", "0 0 7 undefined 0"]


@pytest.mark.claim("validation/safe-parse-never-throws")
def test_a_recursive_schema_throws_on_deep_json_that_fits_the_limit():
    seen = node.evaluate(
        """
    import { z } from 'zod';
    const Tree = z.object({ get replies() { return z.array(Tree).optional(); } });
    const deep = (n) => JSON.parse('{"replies":['.repeat(n) + ']}'.repeat(n));
    const size = 14 * 7000;
    console.log(size < 100 * 1024, Tree.safeParse(deep(20)).success);
    for (const attempt of [() => Tree.safeParse(deep(7000)),
        () => JSON.stringify(deep(7000)), () => structuredClone(deep(7000))]) {
      try { attempt(); console.log('no error'); } catch (e) { console.log(e.name); }
    }
    """
    ).stdout
    assert seen.splitlines() == ["true true", "RangeError", "RangeError", "RangeError"]


# --- the body -----------------------------------------------------------------------


@pytest.mark.claim("validation/body-is-an-object")
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


@pytest.mark.claim("validation/json-drops-proto")
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


# --- SQL ----------------------------------------------------------------------------


def sqlmap(url: str, folder: Path) -> str:
    """What sqlmap says of the parameter `name`; bounded."""
    done = subprocess.run(
        [
            Path(sys.executable).parent / "sqlmap", "-u", f"{url}/products?name=Green+tea",
            "-p", "name", "--batch", "--flush-session", "--level=1", "--risk=1",
            "--technique=B", "--dbms=sqlite", f"--output-dir={folder}", "--threads=1",
            "--disable-coloring", "--skip-waf",
        ],
        cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    return done.stdout


@pytest.mark.claim("validation/parameters-stop-sql")
def test_sqlmap_takes_what_was_validated_and_finds_nothing_behind_parameters(tmp_path):
    for snippet, found in (("search.naive.mjs", True), ("search.mjs", False)):
        with served(snippet) as server, server.client() as c:
            assert c.get("/products", params={"name": ""}).status_code == 400
            assert len(c.get("/products", params={"name": "Green tea"}).json()) == 1
            honest = c.get("/products", params={"name": "O'Brien's mug"})
            assert honest.status_code == (500 if found else 200)
            said = sqlmap(server.url, tmp_path)
        assert ("Parameter: name (GET)" in said) is found, said
        assert ("do not appear to be injectable" in said) is not found, said


def test_a_union_reads_the_cards_out_of_the_naive_search():
    name = "' UNION SELECT owner, number FROM cards --"
    for snippet, numbers in (
        ("search.naive.mjs", ["4111 1111 1111 1111"]),
        ("search.mjs", []),
    ):
        with served(snippet) as server, server.client() as c:
            rows = c.get("/products", params={"name": name}).json()
            assert [row["name"] for row in rows] == numbers


def test_sqlite_stores_another_text_for_half_a_surrogate_pair():
    seen = node.evaluate(
        """
    import { open } from './validation/database.mjs';
    const db = open();
    db.prepare('INSERT INTO products VALUES (?, ?)').run('half', 'a\\ud800');
    const { name } = db.prepare("SELECT name FROM products WHERE sku = 'half'").get();
    console.log(name === 'a\\ufffd', [...'\\u{1f468}\\u200d\\u{1f469}'].length);
    """
    ).stdout
    assert seen.split() == ["true", "3"]


def test_reviews_are_listed_in_an_order_from_the_list_and_in_no_other():
    with served("reviews.mjs") as server, server.client() as c:
        for rating in (5, 2, 4):
            c.post("/reviews", json={**BASE, "rating": rating})

        def order(sort):
            page = c.get("/reviews", params={"name": "Ann", "sort": sort})
            return re.findall(r'<data value="(\d)"', page.text)

        assert (order("newest"), order("best")) == (["4", "2", "5"], ["5", "4", "2"])
        assert c.get("/reviews?name=Ann&sort=rating").status_code == 400
    seen = node.evaluate(
        """
    import { open } from './validation/database.mjs';
    import { reviewsOf } from './validation/store.mjs';
    try { reviewsOf(open()).by('Ann', 'rating'); } catch (e) { console.log(e.name); }
    """
    ).stdout
    assert seen.split() == ["RangeError"]


# --- in the browser -----------------------------------------------------------------


@pytest.fixture
def tab(chromium):
    """A page that notes in `page.seen` what ran and who else was asked."""
    with contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.seen = seen = set()

        def route(request):
            if "127.0.0.1" in request.request.url:
                return request.continue_()
            seen.add("asked")
            return request.fulfill(status=204)  # a navigation ends where it was

        context.route("**/*", route)
        page.expose_function("noted", lambda: seen.add("ran"))
        page.add_init_script("window.alert = window.fetch = () => { window.noted(); };")
        yield page


SETTLED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
PAYLOADS = [
    given for given in corpus.inputs() if given.group in ("html-text", "html-attribute")
]
PAGES = """
import {{ createApp as create }} from '@/validation/reviews.mjs';
import * as naive from '@/validation/page.naive.mjs';
import * as safe from '@/validation/page.mjs';
export function createApp() {{
  return create({{ page: {page}.page, csp: {csp} }});
}}
"""


def look(tab, client, given) -> set[str]:
    """What a visitor's browser does with a stored review."""
    review = given.stored if isinstance(given, corpus.Input) else given
    client.post("/reviews", json=review)
    tab.seen.clear()
    params = {"name": review["name"]}
    url = str(client.base_url.join("/reviews").copy_with(params=params))
    tab.goto(url, wait_until="load")
    tab.evaluate(SETTLED)
    return set(tab.seen)


@pytest.mark.claim("validation/csp-stops-xss")
@pytest.mark.parametrize(
    ("page", "csp", "ran"),
    [("naive", "''", True), ("naive", "safe.CSP", False), ("safe", "''", False)],
)
def test_a_stored_script_runs_without_encoding_and_without_csp_only(
    app, tab, page, csp, ran
):
    script = next(one for one in PAYLOADS if b"<img src=x onerror" in one.body)
    form = next(one for one in PAYLOADS if b"<form action" in one.body)
    with app(PAGES.format(page=page, csp=csp)) as client:
        assert (look(tab, client, script) == {"ran"}) is ran
    with app(PAGES.format(page=page, csp=csp)) as client:
        look(tab, client, form)
        # the policy runs no script; the form that asks for a password is there
        assert tab.locator("input[name=password]").count() == (page == "naive")


def test_chromium_shows_the_whole_corpus_as_text_without_any_policy(tab, app):
    source = """
    import express from 'express';
    import { createApp as create } from '@/validation/reviews.mjs';
    import { open } from '@/validation/database.mjs';
    import { page } from '@/validation/page.mjs';
    import { reviewsOf } from '@/validation/store.mjs';
    export function createApp() {
      const db = open();
      const app = express();
      app.get('/all', (req, res) => res.send(page(reviewsOf(db).all())));
      app.use(create({ db, csp: '' }));
      return app;
    }
    """
    inert = [one for one in corpus.inputs() if one.outcome == "inert"]
    with app(source) as client:
        for given in inert:
            sent = client.post("/reviews", content=given.body, headers=given.headers)
            assert sent.status_code == 201
        tab.goto(str(client.base_url.join("/all")), wait_until="load")
        tab.evaluate(SETTLED)
        shown = tab.evaluate(
            """() => [...document.querySelectorAll('article')].map((one) => ({
                 name: one.querySelector('h2').textContent,
                 title: one.title,
                 text: one.querySelector('p').textContent,
                 link: one.querySelector('a')?.getAttribute('href') ?? null,
                 tags: [...one.querySelectorAll('li')].map((li) => li.textContent),
                 elements: one.querySelectorAll('*').length,
               }))"""
        )
    assert not tab.seen
    assert len(shown) == len(inert) > 200
    for seen, given in zip(shown, inert, strict=True):
        want = {"link": None, "tags": [], **given.stored}
        assert seen["name"] == seen["title"] == want["name"]
        # the parser makes one line end of CR LF, as for all HTML
        assert seen["text"] == want["text"].replace("\r\n", "\n")
        assert (seen["link"], seen["tags"]) == (want["link"], want["tags"])
        assert seen["elements"] == 7 + 2 * bool(want["link"]) + len(want["tags"]) - 1


@pytest.mark.records
def test_what_payloads_do_in_chromium_by_encoding_and_policy(tab, app):
    rows = {}
    for page, csp in (
        ("naive", "''"), ("naive", "safe.CSP"), ("safe", "''"), ("safe", "safe.CSP")
    ):  # fmt: skip
        counts = collections.Counter()
        with app(PAGES.format(page=page, csp=csp)) as client:
            look(tab, client, {**BASE, "name": "plain"})
            usual = tab.evaluate("document.querySelectorAll('*').length")
            for index, given in enumerate(PAYLOADS[::2]):
                review = {**given.stored}
                if review["name"] == BASE["name"]:
                    review["name"] = f"name {index}"  # so that each has its own page
                counts.update(look(tab, client, review))
                found = tab.evaluate("document.querySelectorAll('*').length")
                counts["changed"] += found != usual
        rows[page, csp] = counts
    total = len(PAYLOADS[::2])
    bare, policed, *encoded = rows.values()
    assert bare["ran"] > 5
    assert policed["ran"] == 0
    assert policed["changed"] > 5
    assert policed["asked"] > 0  # <meta http-equiv=refresh>, which no directive governs
    assert not any(counts[key] for counts in encoded for key in counts)
    for key, counts, column, what in (
        ("xss-ran", bare, "ran", "payloads whose script ran, no encoding, no CSP"),
        ("xss-changed", policed, "changed", "payloads that changed the page, CSP alone"),
    ):
        name = f"{TOPIC}/{key}"
        evidence.hold(name, counts[column], "payloads", what, source=SOURCE, above=5)
    name = f"{TOPIC}/xss-payloads"
    evidence.hold(name, total, "payloads", "tried in Chromium", source=SOURCE, above=20)
    _draw_the_attack(list(rows.values()), total)


def _draw_the_attack(rows: list, total: int) -> None:
    labels = ["neither", "CSP alone", "encoding alone", "both"]
    columns = {
        "ran": "script ran",
        "asked": "another host asked",
        "changed": "page changed",
    }
    drawing, axes = figure.plot(5.9, 2.7)
    for shift, (column, label) in enumerate(columns.items()):
        counts = [row[column] for row in rows]
        places = [n + (shift - 1) * 0.27 for n in range(len(rows))]
        hatch = ("", "//", "..")[shift]
        bars = axes.bar(
            places, counts, width=0.26, label=label, hatch=hatch, edgecolor="white"
        )
        axes.bar_label(bars, padding=2)
    axes.set_xticks(range(len(rows)), labels)
    axes.set(ylabel=f"of {total} payloads", ylim=(0, total * 1.05))
    axes.legend(loc="upper right")
    figure.publish(
        f"{TOPIC}/xss",
        drawing,
        "Bars: with neither encoding nor policy more than half of the payloads change the "
        "page, some run a script and some ask another host. With the policy alone no script "
        "runs, but as many change the page. With encoding, alone or with the policy, nothing "
        "happens at all.",
        {"defence": labels, **{c: [row[c] for row in rows] for c in columns}},
        source=SOURCE,
    )


@pytest.mark.claim("validation/mimetype-is-the-type")
def test_a_page_sent_as_an_image_is_served_as_a_page_by_the_naive_upload(
    app, tab, tmp_path
):
    page = b"<script>alert(1)</script>"
    files = {"photo": ("evil.html", page, "image/png")}
    source = """
    import { createApp as create } from '@/validation/upload.naive.mjs';
    export function createApp() {
      return create({ folder: %s });
    }
    """
    (tmp_path / "photos").mkdir()
    with app(source % json.dumps(str(tmp_path / "photos"))) as client:
        sent = client.post("/photos", files=files)
        assert sent.json() == {"url": "/photos/evil.html"}
        tab.goto(str(client.base_url.join(sent.json()["url"])))
        tab.evaluate(SETTLED)
        assert tab.seen == {"ran"}
        client.post("/photos", files={"photo": ("evil.html", b"second", "image/png")})
        assert client.get("/photos/evil.html").text == "second"  # somebody else's, gone
    tab.seen.clear()
    with served("upload.mjs") as server, server.client() as client:
        assert client.post("/photos", files=files).status_code == 415
        both = {"photo": ("evil.html", png() + page, "text/html")}
        url = client.post("/photos", files=both).json()["url"]
        assert re.fullmatch(r"/photos/[0-9a-f-]{36}", url)
        # sandboxed, so no timer runs in it, and there is nothing to wait for
        tab.goto(str(client.base_url.join(url)), wait_until="load")
        assert tab.evaluate("document.contentType") == "image/png"
        assert tab.evaluate("document.images[0].naturalWidth") == 1
        assert not tab.seen


def png() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")


# --- uploads ------------------------------------------------------------------------

GIF = b"GIF89a" + b"\0" * 20
UPLOADS = {
    "png": (png(), "photo.png", "image/png", 201),
    "jpeg": (b"\xff\xd8\xff\xe0" + b"\0" * 20, "photo.jpg", "image/jpeg", 201),
    "gif, said to be text": (GIF, "notes.txt", "text/plain", 201),
    "name with a path": (GIF, "../../../etc/passwd", "image/gif", 201),
    "name with a NUL": (GIF, "a.gif\0.html", "image/gif", 201),
    "two extensions": (GIF, "shell.php.gif", "image/gif", 201),
    "name in Arabic": (GIF, "\u0634\u0627\u064a.gif", "image/gif", 201),
    "html": (b"<script>1</script>", "a.png", "image/png", 415),
    "svg": (b"<svg onload=alert(1)>", "a.svg", "image/svg+xml", 415),
    "script behind spaces": (b"  \x89PNG\r\n\x1a\n", "a.png", "image/png", 415),
    "zip": (b"PK\x03\x04", "a.png", "image/png", 415),
    "gif of 1987": (b"GIF87a" + b"\0" * 20, "a.gif", "image/gif", 201),
    "gif of no year": (b"GIF88a" + b"\0" * 20, "a.gif", "image/gif", 415),
    "half a signature": (b"\x89PNG", "a.png", "image/png", 415),
    "nothing": (b"", "a.png", "image/png", 415),
    "too large": (png() + b"\0" * 100_001, "a.png", "image/png", 413),
}


@pytest.mark.claim("validation/mimetype-is-the-type")
def test_an_upload_is_taken_by_content_and_size_and_stored_under_a_name_of_ours():
    with served("upload.mjs") as server, server.client() as client:
        for name, (content, filename, kind, status) in UPLOADS.items():
            sent = client.post("/photos", files={"photo": (filename, content, kind)})
            assert sent.status_code == status, name
            if status == 201:
                url = sent.json()["url"]
                assert re.fullmatch(r"/photos/[0-9a-f-]{36}", url), name
                got = client.get(url)
                assert got.content == content
                assert got.headers["Content-Type"].startswith("image/")
                assert got.headers["X-Content-Type-Options"] == "nosniff"
        two = [("photo", ("a.gif", GIF)), ("photo", ("b.gif", GIF))]
        assert client.post("/photos", files=two).status_code == 400
        assert client.post("/photos", files={"other": ("a.gif", GIF)}).status_code == 400
        field = {"photo": ("a.gif", GIF)}
        assert client.post("/photos", files=field, data={"x": "1"}).status_code == 400
        assert client.post("/photos").status_code == 400
        assert client.get("/photos/none").status_code == 404


PART = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.gif"\r\n\r\n'
BAD_FORMS = {
    "no boundary": ("multipart/form-data", PART + GIF),
    "nothing in it": ("multipart/form-data; boundary=b", b""),
    "cut off": ("multipart/form-data; boundary=b", PART + GIF),
    "a part without a head": (
        "multipart/form-data; boundary=b",
        b"--b\r\nx\r\n\r\n--b--",
    ),
    "another type": ("application/json", b"{}"),
}


@pytest.mark.parametrize("form", BAD_FORMS)
def test_a_form_that_cannot_be_read_is_its_senders_fault(form):
    kind, content = BAD_FORMS[form]
    with served("upload.mjs") as server, server.client() as client:
        sent = client.post("/photos", content=content, headers={"Content-Type": kind})
        assert sent.status_code == 400
        assert "Error" not in server.output()


PHOTOS = """
import {{ createApp as create }} from '@/validation/upload.mjs';
export function createApp() {{
  return create({{ photos: {photos} }});
}}
"""
GIF_FORM = {"photo": ("a.gif", GIF)}


@pytest.mark.parametrize(
    "photos",
    [
        "{ set() { throw new Error('ours') }, get() { throw new Error('ours') } }",
        "{ async set() { throw new Error('ours') }, async get() { throw new Error() } }",
    ],
    ids=["throws", "rejects"],
)
def test_a_store_that_fails_under_an_upload_is_our_fault(app, photos):
    with app(PHOTOS.format(photos=photos)) as client:
        for _ in range(2):  # and the process lives
            # what is not the upload's error goes on to the app's own handler
            assert client.post("/photos", files=GIF_FORM).status_code == 500
            assert client.get("/photos/a").status_code == 500


def test_a_store_of_photos_may_take_its_time(app):
    photos = """{
      map: new Map(),
      async get(id) { return this.map.get(id); },
      async set(id, photo) { await null; this.map.set(id, photo); },
    }"""
    with app(PHOTOS.format(photos=photos)) as client:
        url = client.post("/photos", files=GIF_FORM).json()["url"]
        assert client.get(url).content == GIF
        assert client.get("/photos/none").status_code == 404


def test_the_store_of_photos_in_memory_has_an_end(app):
    """Two fit; the next is refused, and what was there is still there."""
    source = """
    import { createApp as create, inMemory } from '@/validation/upload.mjs';
    export function createApp() {
      return create({ photos: inMemory(2) });
    }
    """
    with app(source) as client:
        urls = [client.post("/photos", files=GIF_FORM).json()["url"] for _ in range(2)]
        assert client.post("/photos", files=GIF_FORM).status_code == 500
        assert {client.get(url).content for url in urls} == {GIF}


def test_an_upload_that_is_slower_than_the_servers_time_is_a_408_and_needs_its_own_server():
    """Both get the same upload, which rests in the middle until one server has given
    it up. The one for uploads waits for it."""
    seen = node.evaluate(
        """
    import { once } from 'node:events';
    import { connect } from 'node:net';
    import { createServer } from 'node:http';
    import { createApp, uploadServer } from './validation/upload.mjs';
    const soon = { connectionsCheckingInterval: 50 };
    const usual = { ...soon, headersTimeout: 300, requestTimeout: 300 };
    const form = Buffer.from('--b\\r\\nContent-Disposition: form-data; name="photo"; ' +
      'filename="a.gif"\\r\\n\\r\\nGIF89a and more\\r\\n--b--\\r\\n');
    async function begin(server) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const socket = connect(server.address().port, '127.0.0.1');
      const status = once(socket, 'data').then(([data]) => String(data).slice(9, 12));
      socket.write('POST /photos HTTP/1.1\\r\\nHost: x\\r\\n' +
        'Content-Type: multipart/form-data; boundary=b\\r\\n' +
        `Content-Length: ${form.length}\\r\\n\\r\\n`);
      socket.write(form.subarray(0, 20));
      return { server, socket, status };
    }
    const app = createApp();
    const [given, own] = await Promise.all(
      [createServer(usual, app), uploadServer(app, soon)].map(begin));
    console.log(await given.status);
    own.socket.write(form.subarray(20));
    console.log(await own.status);
    for (const { server } of [given, own]) server.close().closeAllConnections();
    const { requestTimeout } = uploadServer(app, { bytes: 5e6, rate: 50_000 });
    console.log(requestTimeout);
    try { uploadServer(app, { rate: 'fast' }); } catch (e) { console.log(e.name); }
    """.replace("\\\\", "\\")
    ).stdout
    assert seen.split() == ["408", "201", "110000", "RangeError"]


# --- names --------------------------------------------------------------------------

SPELLINGS = {  # all of them are 'ann' to NFKC and lower case
    "modifier": "\u1d2c\u1dac\u1dac",
    "full width": "\uff41\uff4e\uff4e",
    "circled": "\u24d0\u24dd\u24dd",
    "bold": "\U0001d41a\U0001d427\U0001d427",
}


def mails(server) -> list[str]:
    """What was sent; Node 22 says more, of node:sqlite."""
    lines = server.output().splitlines()
    return [line for line in lines if line.startswith("mail to ")]


@pytest.mark.claim("validation/unique-means-one")
@pytest.mark.parametrize("name", [n for n in SPELLINGS if n != "modifier"])
def test_a_name_that_normalises_to_anns_opens_anns_account_in_the_naive_app(name):
    spelt = SPELLINGS[name]
    for snippet, mailed in (
        ("accounts.naive.mjs", "mail to eve@evil.test opens ann"),
        ("accounts.mjs", "mail to ann@shop.test opens ann"),
    ):
        with served(snippet) as server, server.client() as c:
            registered = c.post(
                "/accounts", json={"name": spelt, "email": "eve@evil.test"}
            )
            assert registered.status_code == (201 if "naive" in snippet else 409)
            assert c.post("/resets", json={"name": spelt}).status_code == 202
            assert mails(server) == [mailed]


@pytest.mark.claim("validation/unique-means-one")
def test_a_unique_index_takes_every_spelling_until_there_is_one():
    seen = node.evaluate(
        """
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE t (name TEXT); CREATE UNIQUE INDEX one ON t (name)');
    const insert = (name) => {
      try {
        db.prepare('INSERT INTO t VALUES (?)').run(name);
        return 'taken';
      } catch { return 'refused'; }
    };
    const names = ['ann', '\u24d0\u24dd\u24dd', 'ANN', ' ann', 'ann'];
    console.log(names.map(insert).join());
    const canonical = (name) => name.trim().normalize('NFKC').toLowerCase();
    console.log(names.map(canonical).map(insert).join());
    """
    ).stdout
    assert seen.split() == ["taken,taken,taken,taken,refused", ",".join(["refused"] * 5)]


def test_mail_goes_to_the_address_as_it_was_typed_and_another_spelling_is_taken():
    with served("accounts.mjs") as server, server.client() as c:
        for name, email, status in (
            ("bob", "Bob.Smith@Shop.test", 201),
            ("eve", "bob.smith@shop.test", 409),
            ("eve", "\uff42ob.smith@shop.test", 409),
            ("eve", "eve\ufe6bshop.test@shop.test", 422),  # NFKC makes it two @
            ("eve", "eve@shop.test", 201),
        ):
            answer = c.post("/accounts", json={"name": name, "email": email})
            assert answer.status_code == status, email
        c.post("/resets", json={"name": "bob"})
        assert mails(server) == ["mail to Bob.Smith@Shop.test opens bob"]


@pytest.mark.parametrize(
    "mail",
    [
        "async () => { throw new Error('smtp-7') }",
        "() => { throw new Error('smtp-7') }",
        "() => new Promise(() => {})",
    ],
    ids=["rejects", "throws", "hangs"],
)
def test_a_mail_that_fails_tells_nobody_whether_there_is_an_account(tmp_path, mail):
    path = tmp_path / "accounts.mjs"
    path.write_text(
        node.with_deps(f"{TOPIC}/accounts.mjs", "mail", f"const mail = {mail};")
    )
    with node.serve(path) as server, server.client() as c:
        for name in ("ann", "nobody", "ann"):
            answer = c.post("/resets", json={"name": name})
            assert (answer.status_code, answer.text) == (202, "Accepted")
        assert ("smtp-7" in server.output()) == ("smtp-7" in mail)


def test_accounts_are_made_once_in_one_spelling_and_only_with_characters_we_know():
    with served("accounts.mjs") as server, server.client() as c:
        for name, status in (
            (" Bob ", 201), ("BOB", 409), ("b\u043eb", 422), ("bo\u200bb", 422),
            ("bob\u0301", 422), (["bob"], 422), ("\u0130nan", 422), ("x" * 31, 422),
        ):  # fmt: skip
            # each with an address of its own
            email = f"b{len(name)}{status}@shop.test"
            answer = c.post("/accounts", json={"name": name, "email": email})
            assert answer.status_code == status, name
        assert c.post("/resets", json={"name": "nobody"}).status_code == 202
        assert c.post("/resets", content=b"{").status_code == 415


# --- where validation meets the rate limiter ----------------------------------------

LOGIN = """
import express from 'express';
import { createApp as create } from '@/rate-limiting/login.mjs';
import { parseLogin } from '@/validation/accounts.mjs';
import { bodyErrors, jsonBody, validate } from '@/validation/validate.mjs';
// as a database whose collation takes these spellings for one
const users = (email) => email.normalize('NFKC').toLowerCase() === 'ann@shop.test';
const check = async (email, password) => users(email) && password === 'right';
export function createApp() {
  const app = express();
  %s
  app.use(create({ check }));
  app.use(bodyErrors);
  return app;
}
"""
BEFORE = "app.use('/login', jsonBody({ limit: '1kb' }), validate(parseLogin));"
GUESS = {"email": "ann@shop.test", "password": "wrong"}


def codes(client, bodies) -> list[int]:
    return [client.post("/login", json=body).status_code for body in bodies]


@pytest.mark.parametrize(
    ("before", "refused"), [("", 400), (BEFORE, 422)], ids=["login alone", "validated"]
)
def test_an_invalid_login_neither_uses_up_the_limiters_key_nor_gets_past_it(
    app, before, refused
):
    email = GUESS["email"]
    invalid = [
        {**GUESS, "email": value}
        for value in (
            [email],
            {"0": email},
            [[email]],
            None,
            5,
            {"$gt": ""},
            {"toString": 1},
        )
    ]
    with app(LOGIN % before) as client:
        assert codes(client, invalid * 3) == [refused] * 21
        # all five guesses are still there
        assert codes(client, [GUESS] * 6) == [401] * 5 + [429]
        # and in another form they are still gone
        assert set(codes(client, invalid)) == {refused}
        assert codes(client, [{**GUESS, "password": "right"}]) == [429]


def test_a_name_normalised_otherwise_has_its_own_limit_until_it_is_normalised_before(app):
    """The limiter's key is one spelling, the database's collation knows several."""
    spelt = [
        {**GUESS, "email": "ann@shop.test".replace("a", a, 1).replace("n", n, 1)}
        for a in ("\uff41", "\u24d0", "\U0001d41a")
        for n in ("\uff4e", "\u24dd")
    ]
    with app(LOGIN % "") as client:
        assert codes(client, [GUESS] * 6) == [401] * 5 + [429]
        assert codes(client, spelt) == [401] * 6  # six more, and so on
        assert codes(client, [{**spelt[0], "password": "right"}]) == [204]
    with app(LOGIN % BEFORE) as client:
        assert codes(client, [GUESS] * 5) == [401] * 5
        assert codes(client, spelt) == [429] * 6


# --- configuration, messages --------------------------------------------------------

ENVIRONMENT = {
    "PORT": "8080",
    "VERBOSE": "false",
    "DATABASE_URL": "postgres://localhost/shop",
    "SESSION_SECRET": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "PATH": "/bin",
}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"PORT": ""}, ["PORT"]),
        ({"PORT": "80a"}, ["PORT"]),
        ({"PORT": "70000"}, ["PORT"]),
        ({"VERBOSE": "maybe"}, ["VERBOSE"]),
        ({"DATABASE_URL": "postgresql://localhost/shop"}, []),
        ({"DATABASE_URL": "mysql://localhost/shop"}, ["DATABASE_URL"]),
        ({"DATABASE_URL": "postgresqlx://localhost/shop"}, ["DATABASE_URL"]),
        ({"SESSION_SECRET": " " * 32}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "s" * 32}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "correct horse battery staple etc."}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "abcdefgh" * 3 + "abcdefg"}, ["SESSION_SECRET"]),
        ({"SESSION_SECRET": "abcdefgh" * 4}, []),
        ({"DATABASE_URL": "shop", "SESSION_SECRET": "short"},
         ["DATABASE_URL", "SESSION_SECRET"]),
    ],
)  # fmt: skip
def test_a_configuration_is_checked_at_start_by_name_and_never_by_value(change, wrong):
    env = ENVIRONMENT | change
    seen = node.evaluate(
        f"""
    import {{ configFrom }} from './validation/config.mjs';
    try {{
      const config = configFrom({json.dumps(env)});
      console.log(JSON.stringify(config), Object.isFrozen(config));
    }} catch (error) {{ console.log(error.message); }}
    """
    ).stdout
    if not wrong:
        config = {**env, "PORT": 8080, "VERBOSE": False}
        del config["PATH"]
        text, frozen = seen.rsplit(" ", 1)
        assert (json.loads(text), frozen.strip()) == (config, "true")
    else:
        lines = seen.splitlines()[1:]
        assert [line.split(":")[0] for line in lines] == wrong
        assert not any(value in seen for value in change.values() if len(value) > 3)


def test_a_message_is_handled_refused_or_tried_again():
    seen = node.evaluate(
        """
    import { receiverOf } from './validation/message.mjs';
    import { parseOrder } from './validation/order.mjs';
    let down = false;
    const receive = receiverOf({
      parse: parseOrder,
      handle: async (order) => {
        if (down) throw new Error('database');
        return `handled ${order.items.length}`;
      },
      refuse: (errors) => `refused ${errors.map((e) => e.pointer)} ${errors[0].detail}`,
    });
    const order = '{"items":[{"sku":"tea","quantity":1}]}';
    const bytes = [Buffer.from(order), Buffer.from('{"items":7}'), Buffer.from('{'),
      Buffer.from([0xc0, 0x80]), Buffer.from('{"items":[],"note":"\xff"}', 'latin1'),
      Buffer.alloc(10_001), new ArrayBuffer(10_001), [Buffer.from(order)], order,
      new Uint8Array(Buffer.from(order)).buffer];
    for (const one of bytes) console.log(await receive(one));
    const later = receiverOf({ parse: async (order) => parseOrder(order),
      handle: async (order) => `handled ${order.items.length}`,
      refuse: async (errors) => `refused ${errors[0].pointer}` });
    console.log(await later(bytes[0]), await later(bytes[1]));
    down = true;
    console.log(await receive(bytes[0]).catch((e) => `again: ${e.message}`));
    """
    ).stdout
    assert seen.splitlines() == [
        "handled 1",
        "refused #/items Invalid input: expected array, received number",
        *["refused # Not JSON in UTF-8"] * 3,
        *["refused # Too long, or no bytes"] * 4,
        "handled 1",
        "handled 1 refused #/items",
        "again: database",
    ]


# --- time ---------------------------------------------------------------------------


def test_the_slug_is_the_same_language_and_only_the_naive_one_explodes():
    seen = node.evaluate(
        """
    import { SLUG as hardened } from './validation/slug.mjs';
    import { SLUG as naive } from './validation/slug.naive.mjs';
    process.env.RECHECK_BACKEND = 'pure';
    const { checkSync } = await import('recheck');
    console.log(checkSync(naive.source, '').status, checkSync(hardened.source, '').status);
    const texts = ['a', 'a-b', 'green-tea-2', '', '-a', 'a--b', 'A', 'a b', 'a_b'];
    console.log(texts.filter((t) => naive.test(t) !== hardened.test(t)).join());
    console.log(naive.test('a-'), hardened.test('a-'));
    """
    ).stdout
    # the naive one also takes a hyphen at the end
    assert seen.splitlines() == ["vulnerable safe", "", "true false"]


def test_the_benchmark_of_both_validators_runs():
    rows = [line.split(",") for line in output("bench.mjs", "20", "1")]
    assert len(rows) == 1
    assert all(int(number) > 0 for number in rows[0])


@pytest.mark.timing
@pytest.mark.claim("validation/zod-faster")
def test_a_schema_is_the_cheaper_way_unless_each_request_builds_it():
    """Ratios of CPU time in one process, in turns: valid and invalid reviews by a
    schema that was built once, and valid ones by a schema that is built each time."""
    seen = node.evaluate(
        """
    import { z } from 'zod';
    import { validateReview } from './validation/chain.mjs';
    import { parserOf } from './validation/parser.mjs';
    import { parseReview } from './validation/review.mjs';
    import { EMAIL, HANDLE, isHttps, LINE, TEXT } from './validation/rules.mjs';
    const valid = { handle: 'ann-b', email: 'a@shop.test', name: 'Ann', rating: 5, text: 'T' };
    const invalid = { handle: 'A', email: 'x', name: '', rating: 9, text: 5 };
    const chains = (body) => new Promise((done) => {
      const res = { status: () => res, type: () => res, json: () => done(false) };
      const req = { body: { ...body } };
      const step = (n) => n < validateReview.length
        ? validateReview[n](req, res, () => step(n + 1)) : done(true);
      step(0);
    });
    const once = async (body) => !parseReview({ ...body }).errors;
    const line = (max) => z.string().max(max).regex(LINE);
    const build = () => parserOf(z.strictObject({
      handle: z.string().max(30).regex(HANDLE), email: z.string().max(254).regex(EMAIL),
      name: line(80).min(1), rating: z.int().min(1).max(5),
      text: z.string().min(1).max(2000).regex(TEXT),
      link: line(200).refine(isHttps).optional(), tags: z.array(line(30)).max(5).optional(),
    }));
    const anew = async (body) => !build()({ ...body }).errors;
    for (const way of [chains, once, anew]) {
      if (!await way(valid) || await way(invalid)) throw new Error('does not validate');
    }
    // of a given number, so that a busy machine does not make the sample small
    async function cost(way, body, times) {
      const { user, system } = process.cpuUsage();
      for (let i = 0; i < times; i += 1) await way(body);
      const after = process.cpuUsage();
      return (after.user + after.system - user - system) / times;
    }
    const rounds = [];
    for (let round = 0; round < 8; round += 1) {
      rounds.push([
        await cost(chains, valid, 300) / await cost(once, valid, 20_000),
        await cost(chains, invalid, 300) / await cost(once, invalid, 5000),
        await cost(chains, valid, 300) / await cost(anew, valid, 200),
      ]);
    }
    console.log(JSON.stringify(rounds.slice(1))); // the first one warms up
    """,
        timeout=100,
    ).stdout
    rounds = json.loads(seen)
    valid, invalid, anew = (
        statistics.median(column) for column in zip(*rounds, strict=True)
    )
    assert valid > 3
    assert invalid > 2
    assert anew < 1


# --- numbers ----------------------------------------------------------------------------

REFUSED_NUMBERS = {  # bounds: what is wanted, and values that are something else
    "undefined": (
        "whole number, 1 or more",
        [
            "'5'",
            "''",
            "NaN",
            "Infinity",
            "0",
            "-1",
            "1.5",
            "2 ** 53",
            "null",
            "[5]",
            "5n",
        ],
    ),
    "{ least: 0 }": ("whole number, 0 or more", ["'0'", "-1", "0.5", "undefined"]),
    "{ least: 2, most: 4 }": ("whole number, 2 or more, 4 at most", ["1", "5", "2.5"]),
    "WAIT": ("whole number, 0 or more, 2147483647 at most", ["-1", "2 ** 31", "'9'"]),
    "{ above: 0 }": ("number above 0", ["0", "-0.5", "'0.5'", "NaN", "Infinity"]),
    "{ above: 0, most: 4 }": ("number above 0, 4 at most", ["0", "4.5", "'4'"]),
}


@pytest.mark.parametrize("bounds", REFUSED_NUMBERS)
def test_what_is_no_such_number_is_named_and_shown(bounds):
    wanted, wrong = REFUSED_NUMBERS[bounds]
    seen = node.evaluate(
        f"""
    import {{ inspect }} from 'node:util';
    import {{ WAIT, numbers }} from './{TOPIC}/numbers.mjs';
    for (const value of [{", ".join(wrong)}]) {{
      try {{ numbers({{ right: 3, size: value }}, {bounds}); }}
      catch (error) {{
        const said = `TypeError: size: not a {wanted}, but ${{inspect(value)}}`;
        console.log(`${{error}}` === said || `${{error}}`);
      }}
    }}
    """
    ).stdout
    assert seen.splitlines() == ["true"] * len(wrong)


def test_numbers_within_their_bounds_are_taken():
    node.evaluate(f"""
    import {{ WAIT, numbers }} from './{TOPIC}/numbers.mjs';
    numbers({{ one: 1, most: Number.MAX_SAFE_INTEGER }});
    numbers({{ none: 0 }}, {{ least: 0 }});
    numbers({{ low: 2, high: 4 }}, {{ least: 2, most: 4 }});
    numbers({{ none: 0, month: 2 ** 31 - 1 }}, WAIT);
    numbers({{ half: 0.5, huge: 2 ** 60 }}, {{ above: 0, most: 2 ** 60 }});
    """)
