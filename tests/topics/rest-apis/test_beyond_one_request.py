"""Jobs, webhooks, caches, numbers, and an API that ends."""

import base64
import hashlib
import hmac
import json
import textwrap
import time

import httpx
import pytest

from lab.run import node, process

from .shared import TOPIC

SECRET = b"0123456789abcdef"


@pytest.fixture
def app(tmp_path):
    """Writes a module with `createApp` around lines that use `app` and `express`."""

    def write(lines: str):
        path = tmp_path / "app.mjs"
        folder = node.SNIPPETS.as_uri()
        express = node.resolve("node_modules/express/index.js").as_uri()
        body = textwrap.dedent(lines).replace("from './", f"from '{folder}/{TOPIC}/")
        imports, _, rest = body.partition("---\n")
        path.write_text(
            f"import express from '{express}';\n"
            f"import {{ problems }} from '{folder}/{TOPIC}/problem.mjs';\n"
            f"{imports}\n"
            "export function createApp() {\n"
            "  const app = express();\n"
            f"{rest}\n"
            "  app.use(problems({ logger: { error() {} } }));\n"
            "  return app;\n}\n"
        )
        return path

    return write


# --- jobs ------------------------------------------------------------------------------

JOBS = """
import { createJobs, jobsRouter } from './jobs.mjs';
---
  const held = new Map();
  const work = async ({ name }, { signal }) => {
    if (name === 'fails') throw new Error('no data');
    if (name === 'quick') return { rows: 3 };
    return new Promise((resolve, reject) => {
      held.set(name, resolve);
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const jobs = createJobs({ work, atOnce: 1, most: 4, logger: { error() {} } %s });
  app.get('/held', (req, res) => res.json([...held.keys()]));
  app.use('/reports', express.json(), jobsRouter({ jobs,
    ownerOf: async (req) => req.get('User') ?? 'ann', inputOf: (req) => req.body }));
"""


def submit(client, name: str, key: str, **headers: str):
    headers = {"Idempotency-Key": key, **headers}
    return client.post("/reports", json={"name": name}, headers=headers)


def finished(client, place: str, state: str) -> dict:
    process.until(lambda: client.get(place).json()["state"] == state)
    return client.get(place).json()


def test_a_long_job_is_a_202_with_a_place_that_says_how_it_goes(app):
    with node.serve(app(JOBS % "")) as server, server.client() as c:
        answer = submit(c, "quick", "a-1")
        place = answer.headers["Location"]
        assert answer.status_code == 202 and place.startswith("/reports/")
        done = finished(c, place, "done")
        assert c.get(done["result"]).json() == {"rows": 3}
        assert "retry-after" not in c.get(place).headers
        failed = submit(c, "fails", "a-2").headers["Location"]
        assert finished(c, failed, "failed").get("result") is None
        assert c.get(f"{failed}/result").status_code == 409


@pytest.mark.claim("rest-apis/accepted-means-forget", verdict="wrong")
def test_a_job_is_submitted_once_is_its_owners_and_can_be_cancelled(app):
    with node.serve(app(JOBS % "")) as server, server.client() as c:
        first = submit(c, "slow", "a-1").headers["Location"]
        assert submit(c, "slow", "a-1").headers["Location"] == first  # a retry
        assert c.get(first).headers["retry-after"] == "2"
        assert c.get(first, headers={"User": "bob"}).status_code == 404
        second = submit(c, "next", "a-2").headers["Location"]
        assert c.get(second).json()["state"] == "queued"  # one at a time
        assert c.delete(first).status_code == 204
        assert c.get(first).json()["state"] == "cancelled"
        assert finished(c, second, "running")
        third = submit(c, "third", "a-3").headers["Location"]
        assert c.delete(third).status_code == 204  # before it began
        c.delete(second)
        assert "third" not in c.get("/held").json()


def test_jobs_have_a_bound_a_deadline_and_an_end(app):
    limits = ", mostMs: 200, keepMs: 300"
    with node.serve(app(JOBS % limits)) as server, server.client() as c:
        places = [submit(c, f"n{n}", f"k{n}").headers["Location"] for n in range(4)]
        refused = submit(c, "more", "k9")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert finished(c, places[0], "failed")  # its time was over
        process.until(lambda: c.get(places[3]).status_code == 404)  # and is forgotten
        assert submit(c, "more", "k9").status_code == 202
        assert c.post("/reports", json={}).status_code == 400


# --- webhooks --------------------------------------------------------------------------

HOOK = """
import { webhook } from './webhook.mjs';
---
  const events = new Map();
  let [down, calls] = [false, 0];
  const enqueue = async ({ id, event }) => {
    calls += 1;
    if (down) throw new Error('the disk is full');
    if (!events.has(id)) events.set(id, event); // as a unique constraint does
  };
  app.get('/events', (req, res) => res.json([calls, [...events]]));
  app.get('/down', (req, res) => res.json((down = true)));
  app.use('/hook', webhook({ enqueue,
    secrets: [Buffer.from('an older one'), Buffer.from('0123456789abcdef')] }));
"""
NAIVE_HOOK = """
import { webhook } from './webhook.naive.mjs';
---
  app.use('/hook', webhook({ secret: '0123456789abcdef', handle: async () => {} }));
"""
BODY = b'{ "id": 1, "amount": 10.0, "name": "caf\\u00e9" }'


def signed(body: bytes, *, at: float | None = None, identity: str = "evt_1", key=SECRET):
    stamp = str(int(time.time() if at is None else at))
    mac = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Webhook-Id": identity,
        "Webhook-Timestamp": stamp,
        "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
        "Content-Type": "application/json",
    }


@pytest.mark.claim("rest-apis/webhook-signs-raw-bytes", verdict="right")
def test_a_signature_over_what_was_parsed_refuses_the_right_sender(app):
    mac = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    headers = {"Webhook-Signature": mac, "Content-Type": "application/json"}
    with node.serve(app(NAIVE_HOOK)) as server, server.client() as c:
        assert c.post("/hook", content=BODY, headers=headers).status_code == 401
        compact = json.dumps(json.loads(b'{"id":1}'), separators=(",", ":")).encode()
        mac = hmac.new(SECRET, compact, hashlib.sha256).hexdigest()
        headers["Webhook-Signature"] = mac
        assert c.post("/hook", content=compact, headers=headers).status_code == 204
    with node.serve(app(HOOK)) as server, server.client() as c:
        assert c.post("/hook", content=BODY, headers=signed(BODY)).status_code == 204
        assert c.get("/events").json()[1] == [["evt_1", json.loads(BODY)]]


def test_a_webhook_that_comes_twice_is_stored_once_and_not_stored_is_not_a_2xx(app):
    with node.serve(app(HOOK)) as server, server.client() as c:
        for _ in range(2):
            assert c.post("/hook", content=BODY, headers=signed(BODY)).status_code == 204
        assert c.get("/events").json() == [2, [["evt_1", json.loads(BODY)]]]
        c.get("/down")
        again = signed(BODY, identity="evt_2")
        assert c.post("/hook", content=BODY, headers=again).status_code == 500


@pytest.mark.parametrize(
    "change",
    [
        {"Webhook-Signature": "v1,AAAA"},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v2," + "A" * 44},
        {"Webhook-Id": "evt_2"},
        {"Webhook-Id": "evt 1"},
        {"Webhook-Timestamp": "1e9"},
        {"Webhook-Timestamp": ""},
    ],
)
def test_a_webhook_whose_signature_is_of_something_else_is_refused(app, change):
    with node.serve(app(HOOK)) as server, server.client() as c:
        headers = signed(BODY) | change
        assert c.post("/hook", content=BODY, headers=headers).status_code == 401
        assert c.get("/events").json() == [0, []]


def test_a_recorded_webhook_is_refused_later_and_a_changed_one_at_once(app):
    with node.serve(app(HOOK)) as server, server.client() as c:
        for at in (time.time() - 400, time.time() + 400):
            old = signed(BODY, at=at)
            assert c.post("/hook", content=BODY, headers=old).status_code == 401
        changed = BODY.replace(b"10.0", b"99.0")
        assert c.post("/hook", content=changed, headers=signed(BODY)).status_code == 401
        wrong = signed(BODY, key=b"somebody else's")
        assert c.post("/hook", content=BODY, headers=wrong).status_code == 401
        no_json = b"not json"
        answer = c.post("/hook", content=no_json, headers=signed(no_json))
        assert answer.status_code == 400
        large = b"x" * 300_000
        assert c.post("/hook", content=large, headers=signed(large)).status_code == 413
        assert c.get("/events").json() == [0, []]


# --- caches ----------------------------------------------------------------------------

PROFILE = """
---
  app.get('/me', (req, res) => {
    const user = /user=(\\w+)/.exec(req.get('Cookie') ?? '')?.[1] ?? 'nobody';
    %s
    res.json({ user });
  });
"""


@pytest.mark.claim("rest-apis/shared-cache-mixes-users", verdict="right")
@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("", ["ann", "ann"]),
        ("res.set('Vary', 'Accept');", ["ann", "ann"]),
        ("res.set('Cache-Control', 'private, no-cache');", ["ann", "bob"]),
        ("res.set('Cache-Control', 'no-store');", ["ann", "bob"]),
    ],
)
def test_a_shared_cache_gives_bob_anns_profile_unless_the_answer_is_private(
    app, nginx_proxy, header, seen
):
    with node.serve(app(PROFILE % header)) as server:
        proxy = nginx_proxy(server.url, cache=True)
        answers = [
            httpx.get(f"{proxy.url}/me", headers={"Cookie": f"user={user}"}).json()[
                "user"
            ]
            for user in ("ann", "bob")
        ]
    assert answers == seen


# --- numbers and formats ---------------------------------------------------------------


@pytest.mark.claim("rest-apis/json-keeps-integers", verdict="wrong")
def test_a_large_integer_is_another_one_after_json_and_a_text_is_not():
    lines = node.printed("""
    console.log(JSON.parse('{"id":9007199254740993}').id);
    console.log(JSON.parse('{"id":"9007199254740993"}').id);
    try { JSON.stringify({ id: 9007199254740993n }); } catch (error) { console.log(error.name); }
    """).split()
    assert lines == ["9007199254740992", "9007199254740993", "TypeError"]


@pytest.mark.claim("rest-apis/patch-is-not-always-idempotent", verdict="right")
def test_a_json_patch_that_appends_appends_twice_and_a_merge_patch_changes_once():
    # RFC 6902, 4.1: `-` stands for the end of an array
    lines = node.printed(f"""
    import {{ mergePatch }} from '{node.uri(f"{TOPIC}/patch.mjs")}';
    const append = (list, value) => [...list, value]; // op: add, path: /tags/-
    const once = append(['a'], 'b');
    console.log(JSON.stringify([once, append(once, 'b')]));
    const patch = {{ note: null, items: ['b'] }};
    const first = mergePatch({{ items: ['a'], note: 'x' }}, patch);
    console.log(JSON.stringify([first, mergePatch(first, patch)]));
    """).splitlines()
    assert json.loads(lines[0]) == [["a", "b"], ["a", "b", "b"]]
    first, second = json.loads(lines[1])
    assert first == second and first["items"] == ["b"] and not first.get("note")


def test_a_field_that_a_spreadsheet_would_execute_is_shown_as_text():
    lines = node.printed(f"""
    import {{ csvField }} from '{node.uri(f"{TOPIC}/csv.mjs")}';
    const values = ['=1+1', '+1', '-1', '@a', '\\t=1', ' =1', 'a=1', -1, 'a "b"', null, 'é\\n'];
    console.log(JSON.stringify(values.map(csvField)));
    """)
    assert json.loads(lines) == [
        "\"'=1+1\"", "\"'+1\"", "\"'-1\"", "\"'@a\"", "\"'\t=1\"", "\"' =1\"",
        '"a=1"', '"-1"', '"a ""b"""', '""', '"é\n"',
    ]  # fmt: skip


# --- Express and versions --------------------------------------------------------------


def test_a_form_is_flat_on_express_5_and_a_port_in_use_is_said_to_the_callback():
    lines = node.printed("""
    import { once } from 'node:events';
    for (const name of ['express4', 'express']) {
      const { default: express } = await import(name);
      const app = express();
      app.use(express.urlencoded(name === 'express4' ? { extended: true } : undefined));
      app.post('/', (req, res) => res.json(req.body));
      const server = app.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address();
      const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST',
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: 'a[b]=1' });
      console.log(JSON.stringify(await answer.json()));
      if (name === 'express') {
        const said = new Promise((on) => app.listen(port, '127.0.0.1', on));
        console.log((await said)?.code);
      }
      server.close();
    }
    """).splitlines()
    assert lines == ['{"a":{"b":"1"}}', '{"a[b]":"1"}', "EADDRINUSE"]


RETIRED = """
import { retired } from './retired.mjs';
---
  let at = Date.parse('2026-06-01T00:00:00Z');
  const seen = [];
  app.post('/at', express.text(), (req, res) => res.json((at = Date.parse(req.body))));
  app.get('/seen', (req, res) => res.json(seen));
  app.use('/v1', retired({
    since: new Date('2026-01-01T00:00:00Z'), sunset: new Date('2026-12-31T00:00:00Z'),
    link: 'https://shop.test/v2', now: () => at,
    brownouts: [[new Date('2026-11-01T10:00:00Z'), new Date('2026-11-01T10:05:00Z')]],
    count: (req) => { seen.push(req.get('Client')); throw new Error('no disk'); } }));
  app.get('/v1/orders', (req, res) => res.json([]));
"""


def test_an_old_version_says_when_it_ends_and_ends_then(app):
    with node.serve(app(RETIRED)) as server, server.client() as c:
        old = c.get("/v1/orders", headers={"Client": "acme"})
        assert old.status_code == 200
        assert old.headers["deprecation"] == "@1767225600"
        assert old.headers["sunset"] == "Thu, 31 Dec 2026 00:00:00 GMT"
        assert 'rel="deprecation"' in old.headers["link"]
        for at, status in (
            ("2026-11-01T10:01:00Z", 410),
            ("2026-11-01T10:05:00Z", 200),
            ("2026-12-31T00:00:00Z", 410),
        ):
            c.post("/at", content=at, headers={"Content-Type": "text/plain"})
            answer = c.get("/v1/orders")
            assert answer.status_code == status and "sunset" in answer.headers
        assert c.get("/seen").json()[0] == "acme"


@pytest.mark.parametrize("wrong", ["since: 'x'", "sunset: new Date('x')"])
def test_an_end_that_is_no_date_is_refused(wrong):
    source = (
        f"import {{ retired }} from '{node.uri(f'{TOPIC}/retired.mjs')}';\n"
        f"retired({{ since: new Date(), sunset: new Date(), {wrong} }});"
    )
    assert "not a Date" in node.evaluate(source, code=1).stderr
