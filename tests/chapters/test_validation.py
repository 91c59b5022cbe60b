"""What docs/chapters/validation.md says, run. The corpus is in validation_corpus.json,
what sends it in validation_corpus.py."""

import collections
import contextlib
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import validation_corpus as corpus

from lab import browser, evidence, figure, node, process

TOPIC = "validation"
SOURCE = "tests/chapters/test_validation.py"
BASE = corpus.BASE
KINDS = ("sql", "html", "log", "prototype", "assigned", "admitted", "crash")


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def javascript(source: str, timeout: float = 20) -> str:
    done = node.evaluate(source, timeout)
    assert done.code == 0, done.stderr
    return done.stdout


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
        path.write_text(source.replace("@/", f"{folder}/"))
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


@pytest.mark.timing
def test_what_reaches_the_sinks_by_validator_and_by_sink(tmp_path):
    """The same corpus through all five variants. Exact counts, in a table."""
    rows = {}
    for variant in corpus.VARIANTS:
        folder = tmp_path / re.sub(r"\W+", "-", variant)
        folder.mkdir()
        fates = corpus.run(variant, folder)
        hostile = [fate for fate in fates if fate.given.kind == "hostile"]
        counts = collections.Counter(e for fate in hostile for e in fate.effects)
        rows[variant] = {kind: counts[kind] for kind in KINDS}
        rows[variant]["hostile"] = sum(bool(fate.effects) for fate in hostile)
        rows[variant]["lost"] = sum(fate.lost for fate in fates)
    for variant in ("express-validator", "zod"):
        assert set(rows[variant].values()) == {0}
    schema = rows["strict schema, naive sinks"]
    assert (schema["prototype"], schema["assigned"], schema["admitted"]) == (0, 0, 0)
    total = collections.Counter(given.kind for given in corpus.inputs())
    for key, kind in (("corpus-hostile", "hostile"), ("corpus-honest", "honest")):
        evidence.hold(
            f"{TOPIC}/{key}",
            total[kind],
            "inputs",
            f"{kind} inputs of the corpus",
            source=SOURCE,
            above=99,
        )
    for key, variant, column in (
        ("effects-fragment", "fragment", "hostile"),
        ("effects-read", "fragment, result read", "hostile"),
        ("effects-schema", "strict schema, naive sinks", "hostile"),
        ("lost-fragment", "fragment", "lost"),
    ):
        evidence.hold(
            f"{TOPIC}/{key}",
            rows[variant][column],
            "inputs",
            f"{variant}: "
            + ("hostile with an effect" if column == "hostile" else "honest lost"),
            source=SOURCE,
            above=0.5,
        )
    _draw_the_matrix(rows)


def _draw_the_matrix(rows: dict) -> None:
    columns = {
        "sql": "SQL",
        "html": "HTML",
        "log": "log",
        "prototype": "proto-\ntype",
        "assigned": "server's\nfields",
        "admitted": "wrongly\nstored",
        "crash": "500",
        "lost": "honest\nlost",
    }
    names = {
        "fragment": "isEmail(),\nresult not read",
        "fragment, result read": "isEmail(),\nresult read",
        "strict schema, naive sinks": "strict schema,\nnaive sinks",
        "express-validator": "express-validator,\nsafe sinks",
        "zod": "zod strict,\nsafe sinks",
    }
    drawing, axes = figure.plot(6.6, 3.6)
    for line, variant in enumerate(reversed(rows)):
        for column, key in enumerate(columns):
            count = rows[variant][key]
            shade = figure.SERIES[1] if count else figure.SERIES[2]
            axes.bar(
                column, 0.88, width=0.92, bottom=line - 0.44, color=shade, alpha=0.25
            )
            axes.text(column, line, str(count), ha="center", va="center")
    axes.set_yticks(range(len(rows)), [names[variant] for variant in reversed(rows)])
    axes.set_xticks(range(len(columns)), columns.values())
    axes.set(ylim=(-0.5, len(rows) - 0.5), xlim=(-0.5, len(columns) - 0.5))
    axes.tick_params(length=0)
    axes.grid(False)
    figure.publish(
        f"{TOPIC}/matrix",
        drawing,
        "Table of five variants by eight effects. The usual fragment has effects at every "
        "sink, whether or not its result is read. A strict schema in front of naive sinks "
        "still has effects in SQL, HTML and log. With safe sinks both hardened variants "
        "show zero in all columns, and lose nobody honest.",
        {
            "variant": list(rows),
            **{key: [rows[v][key] for v in rows] for key in (*columns, "hostile")},
        },
        source=SOURCE,
    )


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
    seen = javascript(
        CHAINS
        + """
    import { open } from './validation/database.mjs';
    import { page } from './validation/page.naive.mjs';
    const db = open();
    const { prepare } = Object.getPrototypeOf(db);
    for (const email of ['"<script>alert(1)</script>"@example.com',
        "a'or'1'='1@example.com", "admin'--@example.com"]) {
      console.log(await passes(body('email').isEmail(), { email }));
    }
    const email = "a'or'1'='1@example.com";
    const sql = `SELECT * FROM cards WHERE owner = '${email}'`;
    console.log(db.prepare(sql).all().length,
      db.prepare('SELECT * FROM cards WHERE owner = ?').all(email).length);
    const html = page([{ name: '"<script>alert(1)</script>"@example.com', tags: [] }]);
    console.log(html.includes('<script>alert(1)</script>'));
    """
    )
    assert seen.split() == ["true", "true", "true", "1", "0", "true"]


@pytest.mark.claim("validation/string-is-a-string")
def test_a_list_passes_is_email_until_the_type_is_asked_first():
    seen = javascript(
        CHAINS
        + """
    for (const email of [[], ['a@b.co'], [['a@b.co']], 'a@b.co', 5]) {
      console.log(await passes(body('email').isEmail(), { email }),
        await passes(body('email').isString().bail().isEmail(), { email }));
    }
    """
    )
    assert seen.splitlines() == [
        *["true false"] * 3,  # lists
        "true true",
        "false false",
    ]


@pytest.mark.claim("validation/only-validated-fields")
def test_a_field_that_nobody_validated_reaches_the_handler():
    seen = javascript(
        CHAINS
        + """
    const sent = { email: 'a@b.co', role: 'admin' };
    const [ok, req, matched] = await run(body('email').isEmail(), sent);
    console.log(ok, req.body.role, matched.role);
    const exact = checkExact([body('email').isEmail()], { locations: ['body'] });
    console.log(await passes(exact, sent));
    """
    )
    assert seen.splitlines() == ["true admin undefined", "false"]


@pytest.mark.claim("validation/check-exact-is-exact")
def test_check_exact_misses_the_names_that_every_object_has():
    seen = javascript(
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
    )
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
    seen = javascript(
        CHAINS
        + """
    const [, req] = await run(body('name').escape(), { name: "O'Brien & co" });
    console.log(req.body.name);
    const [, other] = await run(body('id').escape(), { id: '0 OR 1=1' });
    console.log(other.body.id);
    const [, link] = await run(body('link').escape(), { link: 'javascript:alert(1)' });
    console.log(link.body.link);
    """
    )
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


@pytest.mark.claim("validation/sanitizing-packages")
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
    seen = javascript(
        """
    import { z } from 'zod';
    console.log(z.coerce.boolean().parse('false'), z.stringbool().parse('false'));
    console.log(z.coerce.number().parse(''), z.coerce.number().parse(null),
      z.coerce.number().parse([7]), z.coerce.string().parse(undefined),
      z.coerce.date().parse(null).getTime());
    """
    )
    assert seen.splitlines() == ["true false", "0 0 7 undefined 0"]


@pytest.mark.claim("validation/safe-parse-never-throws")
def test_a_recursive_schema_throws_on_deep_json_that_fits_the_limit():
    seen = javascript(
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
    )
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
        ("threads.mjs", [201, 400, 400, 413]),
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
    assert (problem["status"], problem["title"]) == (400, "Invalid body")
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
      app.use(bodyErrors);
      app.use((error, req, res, next) => res.status(500).send('reported'));
      return app;
    }
    """
    with app(source) as c:
        answer = c.post("/", json={})
        assert (answer.status_code, answer.text) == (500, "reported")
        assert c.post("/", content=b"{", headers={"Content-Type": "application/json"}).json()[
            "title"
        ] == "The body was refused: entity.parse.failed"  # fmt: skip


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
        javascript(
            f"""
    import {{ parseOrder }} from './validation/order.mjs';
    console.log(JSON.stringify(parseOrder({json.dumps(body)})));
    """
        )
    )
    if pointers is None:
        assert seen == {"value": body}
    else:
        assert [error["pointer"] for error in seen["errors"]] == pointers
        assert all(set(error) == {"pointer", "detail"} for error in seen["errors"])


def test_a_patch_of_an_order_needs_no_field_and_knows_no_other():
    seen = javascript(
        """
    import { parseOrderPatch } from './validation/order.mjs';
    for (const body of [{}, { note: 'x' }, { items: [] }, { status: 'paid' }]) {
      const { value, errors } = parseOrderPatch(body);
      console.log(JSON.stringify(value ?? errors.map((e) => e.pointer)));
    }
    """
    )
    assert seen.splitlines() == ["{}", '{"note":"x"}', '["#/items"]', '["#/status"]']


# --- prototypes ---------------------------------------------------------------------

POLLUTED = '{"__proto__":{"isAdmin":true},' + corpus.MEMBERS + "}"


def test_one_review_makes_every_visitor_an_admin_in_the_naive_app_only():
    headers = {"Content-Type": "application/json"}
    for snippet, answers in (("reviews.naive.mjs", (201, 200)), ("reviews.mjs", (400, 403))):
        with served(snippet) as server, server.client() as c:
            assert c.get("/admin").status_code == 403
            sent = c.post("/reviews", content=POLLUTED, headers=headers).status_code
            assert (sent, c.get("/admin").status_code) == answers


@pytest.mark.claim("validation/json-drops-proto")
def test_proto_survives_json_and_a_careless_merge_sets_the_prototype():
    seen = javascript(
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
    naive({}, constructor);
    console.log({}.isAdmin);
    delete Object.prototype.isAdmin;
    naive({}, sent);
    console.log({}.isAdmin);
    """
    )
    assert seen.splitlines() == [
        "__proto__ undefined",  # an own property, and no prototype yet
        "undefined true undefined",  # assign() sets that one object's prototype
        "undefined undefined 1",
        "undefined undefined",
        '{"a":{"b":1,"c":[2],"d":3}}',
        "undefined",  # a function is no object to this naive merge
        "true",
    ]


def test_node_can_be_told_to_do_without_the_accessor():
    done = subprocess.run(
        [node.binary(), "--disable-proto=delete", "--input-type=module", "--eval",
         "import { merge } from './validation/merge.naive.mjs';"
         "merge({}, JSON.parse('{\"__proto__\":{\"isAdmin\":true}}'));"
         "console.log({}.isAdmin)"],
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


def test_sqlmap_takes_what_was_validated_and_finds_nothing_behind_parameters(tmp_path):
    for snippet, found in (("search.naive.mjs", True), ("search.mjs", False)):
        with served(snippet) as server, server.client() as c:
            assert c.get("/products", params={"name": ""}).status_code == 400
            assert len(c.get("/products", params={"name": "Green tea"}).json()) == 1
            honest = c.get("/products", params={"name": "O'Brien's mug"})
            assert honest.status_code == (500 if found else 200)
            said = sqlmap(server.url, tmp_path)
        assert ("is vulnerable" in said or "injectable" in said) is found, said
        assert ("do not appear to be injectable" in said) is not found, said


def test_a_union_reads_the_cards_out_of_the_naive_search():
    name = "' UNION SELECT owner, number FROM cards --"
    for snippet, numbers in (("search.naive.mjs", ["4111 1111 1111 1111"]), ("search.mjs", [])):
        with served(snippet) as server, server.client() as c:
            rows = c.get("/products", params={"name": name}).json()
            assert [row["name"] for row in rows] == numbers


def test_reviews_are_listed_in_an_order_from_the_list_and_in_no_other():
    with served("reviews.mjs") as server, server.client() as c:
        for rating in (5, 2, 4):
            c.post("/reviews", json={**BASE, "rating": rating})

        def order(sort):
            page = c.get("/reviews", params={"name": "Ann", "sort": sort})
            return re.findall(r'<data value="(\d)"', page.text)

        assert (order("newest"), order("best")) == (["4", "2", "5"], ["5", "4", "2"])
        assert c.get("/reviews?name=Ann&sort=rating").status_code == 400
    seen = javascript(
        """
    import { open } from './validation/database.mjs';
    import { reviewsOf } from './validation/store.mjs';
    try { reviewsOf(open()).by('Ann', 'rating'); } catch (e) { console.log(e.name); }
    """
    )
    assert seen.split() == ["RangeError"]
