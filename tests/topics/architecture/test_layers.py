"""One feature as one file, as MVC and in layers: same behaviour, other costs of change."""

import contextlib
import json
import re
import sqlite3
import subprocess

import pytest

from lab.run import node

from .shared import APPS, HERE, POT, TEA, TOPIC, many, place


@contextlib.contextmanager
def version(name, shop, request):
    app, models = APPS[name]
    url = ""
    if "PostgreSQL" in name:
        url = request.getfixturevalue("database").url
    with shop(app, url, models=models) as client:
        yield client


def pay(client, order):
    return client.post(f"/orders/{order['id']}/payment")


def cancel(client, order):
    return client.post(f"/orders/{order['id']}/cancellation")


# --- one feature, three ways ----------------------------------------------------------


@pytest.mark.parametrize("name", APPS)
def test_every_version_places_pays_and_cancels_alike(name, shop, request):
    with version(name, shop, request) as client:
        placed = place(client, many("tea", 2), POT, note="ring twice")
        assert placed.status_code == 201
        order = placed.json()
        assert placed.headers["Location"] == f"/orders/{order['id']}"
        assert order["id"].startswith("ord_")
        assert order == {
            "id": order["id"],
            "customer": "ann",
            "items": [many("tea", 2), POT],
            "note": "ring twice",
            "status": "open",
            "total": 13_400,
            "version": 1,
        }
        assert client.get(placed.headers["Location"]).json() == order
        assert pay(client, order).json() == {**order, "status": "paid", "version": 2}
        assert pay(client, order).status_code == 409
        done = cancel(client, order).json()
        assert done == {**order, "status": "cancelled", "version": 3}
        assert cancel(client, order).status_code == 409
        assert "note" not in place(client, TEA).json()
        # cancelling gave the stock back, once: nineteen are left of twenty
        assert place(client, many("tea", 20)).status_code == 409
        assert place(client, many("tea", 19)).status_code == 201


@pytest.mark.parametrize("name", APPS)
def test_every_version_refuses_alike_and_then_has_done_nothing(name, shop, request):
    with version(name, shop, request) as client:
        full = place(client, TEA, many("pot", 21))
        assert full.status_code == 409
        assert full.headers["Content-Type"].startswith("application/problem+json")
        assert place(client, TEA, many("cup", 1)).status_code == 409
        owes = place(client, many("pot", 8)).json()
        assert owes["total"] == 100_000  # all that a customer may owe
        assert place(client, TEA).json()["detail"] == "That is more than you may owe."
        pay(client, owes)
        assert place(client, many("tea", 20)).status_code == 201  # none were lost
        bad = place(client, many("tea", 0), note=7)
        assert bad.status_code == 422
        pointers = [error["pointer"] for error in bad.json()["errors"]]
        assert pointers == ["#/note", "#/items/0/quantity"]
        assert client.post("/orders", content=b"{").status_code == 422  # not JSON
        broken = {"Content-Type": "application/json"}
        answer = client.post("/orders", content=b"{", headers=broken)
        assert answer.status_code == 400
        eve = {"X-Customer": "eve"}
        theirs = client.get(f"/orders/{owes['id']}", headers=eve)
        assert theirs.status_code == 404
        assert client.get("/orders/none").status_code == 404
        assert client.get("/orders/%zz").status_code == 400  # no mistake of ours
        nobody = client.get(f"/orders/{owes['id']}", headers={"X-Customer": ""})
        assert nobody.status_code == 401


@pytest.mark.parametrize("name", APPS)
def test_a_new_column_does_not_leave_by_itself(name, shop, request, tmp_path):
    app, models = APPS[name]
    column = "ALTER TABLE orders ADD COLUMN margin TEXT DEFAULT 'a secret'"
    if "PostgreSQL" in name:
        database = request.getfixturevalue("database")
        served = shop(app, database.url, models=models)
        alter = database.sql
    else:
        file = tmp_path / "shop.db"
        served = shop(app, deps=f"path: {json.dumps(str(file))}")

        def alter(statement):
            with contextlib.closing(sqlite3.connect(file)) as db:
                db.execute(statement)

    with served as client:
        before = place(client, TEA).json()
        alter(column)
        placed = place(client, TEA)
        read = client.get(placed.headers["Location"])
        for answer in (placed, read, pay(client, before), cancel(client, before)):
            assert answer.is_success
            assert set(answer.json()) == set(before)
            assert "secret" not in answer.text


@pytest.mark.parametrize("name", ["one file, SQLite", "MVC, SQLite", "layered, SQLite"])
def test_an_error_cannot_choose_a_status_that_is_no_error(name, shop):
    """Whoever is asked who it is may throw anything, e.g. another server's answer."""
    before = """
      authenticate: async (req) => {
        const thrown = JSON.parse(req.get('X-Throw') ?? 'null');
        if (!thrown) return { id: 'ann' };
        throw Object.assign(new Error('from elsewhere'), thrown);
      },
    """
    with shop(APPS[name][0], deps=before) as client:
        for status in (200, 204, 302, 399, 500, 503, 99, 1000, 404.5, "404", None):
            thrown = {"expose": True, "status": status}
            answer = client.get("/orders/a", headers={"X-Throw": json.dumps(thrown)})
            assert answer.status_code == 500, status
            assert "elsewhere" not in answer.text
        assert client.output().count("request failed") == 11
        json_ = {"Content-Type": "application/json"}
        large = client.post("/orders", content=b'"' + b"x" * 20_000, headers=json_)
        assert large.status_code == 413  # what the parser says is the client's


@pytest.mark.parametrize(
    "folder", ["onefile/app.mjs:createApp", "mvc/models.mjs:createModels"]
    + ["layered/sqlite.mjs:sqliteStore"],
)  # fmt: skip
def test_processes_that_start_at_once_on_one_file_all_find_the_tables(folder, tmp_path):
    module, _, factory = folder.partition(":")
    source = f"""
    import {{ fork }} from 'node:child_process';
    import {{ once }} from 'node:events';
    import {{ writeFileSync }} from 'node:fs';
    const text = `import {{ {factory} as start }} from '{(HERE / module).as_uri()}';
      process.once('message', async () => {{
        await start({{ path: '{tmp_path}/shop.db' }});
        process.disconnect();
      }});
      process.send('ready');`;
    writeFileSync('{tmp_path}/one.mjs', text);
    const all = Array.from({{ length: 6 }}, () =>
      fork('{tmp_path}/one.mjs', {{ execArgv: [] }}),
    );
    await Promise.all(all.map((one) => once(one, 'message')));
    for (const one of all) one.send('go');
    const ended = await Promise.all(all.map((one) => once(one, 'exit')));
    console.log(ended.map(([code]) => code).join());
    """
    assert node.evaluate(source).stdout == "0,0,0,0,0,0\n"


# --- a second way in ------------------------------------------------------------------


def refusal(done) -> str:
    """What the command line said; Node 22 adds that SQLite is an experiment."""
    return done.stderr.splitlines()[0]


VERSIONS = {
    "onefile": "onefile/app.cli.mjs",
    "mvc": "mvc/app.mjs",
    "layered": "layered/app.mjs",
}


@pytest.mark.claim("architecture/mvc-is-tied-to-the-ui", verdict="wrong")
@pytest.mark.parametrize("folder", VERSIONS)
def test_a_command_line_and_http_are_one_shop_with_the_same_rules(folder, shop, tmp_path):
    file = tmp_path / "shop.db"

    def command(*args, code=0):
        done = node.run(
            f"{TOPIC}/cli.mjs", folder, *args, env={"SHOP": str(file)}, code=code
        )
        return json.loads(done.stdout) if code == 0 else refusal(done)

    order = command("ann", "place", "tea=2")
    assert (order["status"], order["total"]) == ("open", 900)
    assert command("ann", "place", "tea=200", code=1) == "There is not enough of it."
    assert "items" in command("ann", "place", "tea=0", code=1) or folder == "onefile"
    with shop(VERSIONS[folder], deps=f"path: {json.dumps(str(file))}") as client:
        assert client.get(f"/orders/{order['id']}").json() == order
        assert pay(client, order).json()["status"] == "paid"
    assert command("ann", "pay", order["id"], code=1) == "It is paid."
    assert command("ann", "cancel", order["id"])["status"] == "cancelled"
    assert command("eve", "cancel", order["id"], code=1) == "You have no such order."


IN_PROCESS = """
import {{ once }} from 'node:events';
import {{ createServer }} from 'node:http';
import {{ createApp }} from './architecture/onefile/app.mjs';
const deps = {{ authenticate: () => ({{ id: 'ann' }}), path: {path} }};
const server = createServer(createApp(deps)).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${{server.address().port}}/orders`;
const headers = {{ 'Content-Type': 'application/json' }};
const body = JSON.stringify({{ items: {items} }});
const answer = await fetch(url, {{ method: 'POST', headers, body }});
const {{ detail, status }} = await answer.json();
console.log(detail ?? status);
server.close();
server.closeAllConnections();
"""


@pytest.mark.claim("architecture/rules-in-controllers", verdict="depends")
def test_a_command_line_can_also_send_a_request_to_the_untouched_app(tmp_path):
    """Rules in handlers are no obstacle to an entry that speaks HTTP."""
    said = []
    for arguments in ("tea=2", "tea=200", "tea=0", "cup=1", "pot=9"):
        sku, _, quantity = arguments.partition("=")
        items = json.dumps([many(sku, int(quantity))])
        path = json.dumps(str(tmp_path / "one.db"))
        asked = node.evaluate(IN_PROCESS.format(path=path, items=items)).stdout.strip()
        code = 0 if arguments == "tea=2" else 1
        shop = {"SHOP": str(tmp_path / "other.db")}
        args = ("onefile", "ann", "place", arguments)
        done = node.run(f"{TOPIC}/cli.mjs", *args, env=shop, code=code)
        called = refusal(done) if code else json.loads(done.stdout)["status"]
        assert asked == called
        said.append(asked)
    assert said == [
        "open",
        "There is not enough of it.",
        "That is no order.",
        "There is no cup.",
        "That is more than you may owe.",
    ]


def test_the_command_line_without_arguments_says_what_it_takes():
    assert "place SKU=QUANTITY" in node.run(f"{TOPIC}/cli.mjs").stdout
    for command in ("buy", "constructor"):
        done = node.run(f"{TOPIC}/cli.mjs", "mvc", "ann", command, code=1)
        assert refusal(done) == f"There is no {command}."


# --- what a change touches ------------------------------------------------------------


def touched(change: str) -> dict[str, tuple[int, int]]:
    """By version: lines added and removed in files that were there, and in new ones."""
    found = re.findall(
        rf"^{change}, (\w+): (\d+) touched, (\d+) new$",
        node.run(f"{TOPIC}/blast.mjs").stdout,
        re.MULTILINE,
    )
    return {folder: (int(old), int(new)) for folder, old, new in found}


@pytest.mark.claim("architecture/rules-in-controllers", verdict="depends")
def test_the_rules_stay_as_they_are_only_where_they_have_a_file_of_their_own():
    database, entry = touched("another database"), touched("another entry")
    (one, _), (mvc, _), (layered, adapter) = database.values()
    assert list(database) == list(entry) == list(VERSIONS)
    assert layered < 15 < adapter  # the composition root; the new adapter is new
    assert mvc > 60
    assert one > 60
    # a tie: models without HTTP are as good as an application layer here
    assert entry["mvc"][0] == entry["layered"][0] == 0
    assert entry["onefile"][0] > 40  # the marks of the pages are not counted


@pytest.mark.claim("architecture/layers-are-more-code", verdict="right")
def test_the_same_behaviour_takes_more_lines_the_more_it_is_divided():
    lines = node.run(f"{TOPIC}/blast.mjs").stdout
    sizes = [int(n) for n in re.findall(r"^\w+: (\d+) lines", lines, re.MULTILINE)]
    assert len(sizes) == 3
    one, mvc, layered = sizes
    assert one * 1.3 < mvc < layered


# --- rules for imports ----------------------------------------------------------------


CRUISER = node.SNIPPETS / "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs"


def test_the_layered_version_keeps_its_rules():
    done = node.run(CRUISER, "--config", f"{TOPIC}/rules.cjs", TOPIC, timeout=60)
    assert "no dependency violations found" in done.stdout


VIOLATIONS = {
    "domain": ("the-domain-knows-nobody", "./sqlite.mjs"),
    "application": ("the-application-knows-the-domain", "express"),
    "http": ("adapters-do-not-know-each-other", "./sqlite.mjs"),
    "schema": ("no-circles", "./layered/sqlite.mjs"),
}


@pytest.mark.claim("architecture/folders-enforce-layers", verdict="right")
@pytest.mark.parametrize("file", VIOLATIONS)
def test_a_forbidden_import_runs_and_only_the_rules_find_it(file, copied, shop):
    rule, target = VIOLATIONS[file]
    folder = copied if file == "schema" else copied / "layered"
    path = folder / f"{file}.mjs"
    path.write_text(f"import '{target}';\n" + path.read_text("utf-8"), "utf-8")
    with shop("layered/app.mjs", root=copied) as client:
        assert place(client, TEA).status_code == 201  # Node does not mind
    found = subprocess.run(
        [node.binary(), CRUISER, "--config", "architecture/rules.cjs", "architecture"],
        cwd=copied.parent, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode > 0
    assert f"error {rule}" in found.stdout


# --- dependencies passed in -----------------------------------------------------------


@pytest.mark.claim("architecture/injection-needs-a-framework", verdict="right")
def test_every_dependency_of_the_layered_version_is_passed_in_by_a_parameter(shop):
    deps = """
      store: memoryStore(),
      parseOrder: (body) => ({ value: { items: [{ sku: 'pot', quantity: body.pots }] } }),
      logger: { error: ({ error }) => console.log(`logged: ${error.message}`) },
    """
    memory = (HERE / "layered" / "memory.mjs").as_uri()
    with shop(
        "layered/app.mjs",
        deps=deps.replace("memoryStore", f"(await import('{memory}')).memoryStore"),
    ) as client:
        order = client.post("/orders", json={"pots": 3}).json()
        assert order["total"] == 37_500
        assert client.get(f"/orders/{order['id']}").status_code == 200
        assert client.post("/orders").status_code == 500  # the parser has no body
        assert "logged: Cannot read properties of undefined" in client.output()
    text = (HERE / "layered" / "app.mjs").read_text("utf-8")
    packages = re.findall(r"from '([^.'][^']*)'", text)
    assert packages == []  # the composition root imports our own files only


@pytest.mark.claim("architecture/tests-need-mocks", verdict="right")
def test_the_rules_are_tested_without_http_database_or_mock():
    done = node.run(f"{TOPIC}/layered/domain.test.mjs", flags=("--test-reporter=tap",))
    assert re.search(r"^# pass 11$", done.stdout, re.MULTILINE)
    source = (HERE / "layered" / "domain.test.mjs").read_text("utf-8")
    imports = re.findall(r"from '([^']+)'", source)
    assert sorted(imports) == ["./domain.mjs", "node:assert/strict", "node:test"]
    assert "mock" not in source


def test_the_same_rules_hold_at_every_level():
    lines = node.run(f"{TOPIC}/levels.mjs", timeout=60).stdout.splitlines()
    assert len(lines) == 6
    assert all("; 18 checks, " in line for line in lines)
    assert sum("no double" in line for line in lines) == 5


# --- where layers meet the REST, validation and limiter chapters ----------------------


@pytest.mark.parametrize("chapter", ["rest-apis", "validation"])
def test_another_chapters_parser_is_one_more_adapter_of_the_layers(shop, chapter):
    parser = node.resolve(f"{chapter}/order.mjs").as_uri()
    deps = f"parseOrder: (await import('{parser}')).parseOrder"
    with shop("layered/app.mjs", deps=deps) as ann:
        assert place(ann, TEA).json()["customer"] == "ann"
        for more, pointer in (
            ({"status": "paid"}, "#/status"),
            ({"customer": "bob"}, "#/customer"),
            ({"note": 5}, "#/note"),
        ):
            refused = place(ann, TEA, **more)
            assert refused.status_code == 422
            errors = refused.json()["errors"]
            assert pointer in [error["pointer"] for error in errors]


def test_a_limiter_before_the_layers_spends_no_stock(tmp_path):
    """The limiter knows nothing of the layers, and they nothing of it."""
    limiter = node.resolve("rate-limiting/api.mjs").as_uri()
    layered = (HERE / "layered/app.mjs").as_uri()
    path = tmp_path / "limited.mjs"
    path.write_text(
        f"""
import {{ createApp as limited }} from '{limiter}';
import {{ createApp as layered }} from '{layered}';
export async function createApp({{ signal }}) {{
  const authenticate = () => ({{ id: 'ann' }});
  return limited({{ limit: 3 }}).use(await layered({{ signal, authenticate }}));
}}
"""
    )
    with node.serve(path) as server, server.client() as ann:
        answers = [place(ann, TEA).status_code for _ in range(5)]
    assert answers == [201] * 3 + [429] * 2
