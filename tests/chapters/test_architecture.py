"""What docs/chapters/architecture.md says, run."""

import concurrent.futures
import contextlib
import json
import re
import secrets
import shutil
import sqlite3
import statistics
import subprocess
import threading
from pathlib import Path

import pytest

from lab.record import evidence, figure
from lab.run import node, process, services

TOPIC = "architecture"
SOURCE = "tests/chapters/test_architecture.py"
HERE = node.SNIPPETS / TOPIC
TEA, POT = {"sku": "tea", "quantity": 1}, {"sku": "pot", "quantity": 1}


@pytest.fixture(scope="module")
def server():
    """One PostgreSQL for the tests of this file; they take a database each."""
    if why := services.missing("postgresql"):
        pytest.skip(why)
    with contextlib.ExitStack() as stack:
        with process.of_no_test():
            running = stack.enter_context(services.postgres())
        yield running


class Database:
    """A database of one test: `url`, and `sql(statement)` as lab.services has it."""

    def __init__(self, server) -> None:
        self.name = f"shop_{secrets.token_hex(4)}"
        server.sql(f"CREATE DATABASE {self.name}")
        self.url = server.url.rpartition("/")[0] + f"/{self.name}"
        self._sql = type(server).sql

    def sql(self, statement: str) -> str:
        return self._sql(self, statement)


@pytest.fixture
def database(server):
    return Database(server)


@pytest.fixture
def copied(tmp_path):
    """A copy of the chapter's snippets, to be changed; gives its folder."""
    target = tmp_path / "snippets" / TOPIC
    shutil.copytree(HERE, target)
    (target.parent / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    (target.parent / "validation").symlink_to(node.SNIPPETS / "validation")
    return target


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} of {old!r}"
    path.write_text(text.replace(old, new), "utf-8")


# what is served, by version and store: the app's module, and its models if another's
APPS = {
    "one file, SQLite": ("onefile/app.mjs", None),
    "one file for a CLI, SQLite": ("onefile/app.cli.mjs", None),
    "one file, PostgreSQL": ("onefile/app.postgres.mjs", None),
    "MVC, SQLite": ("mvc/app.mjs", None),
    "MVC, PostgreSQL": ("mvc/app.mjs", "mvc/models.postgres.mjs"),
    "layered, SQLite": ("layered/app.mjs", None),
    "layered, PostgreSQL": ("layered/app.postgres.mjs", None),
}


@pytest.fixture
def shop(tmp_path):
    """Serves a version as a customer sees it: a client that says who it is. The
    module that wraps the app passes the dependencies; `deps` is JavaScript."""

    @contextlib.contextmanager
    def serve(app, url="", deps="", models=None, root=HERE, customer="ann"):
        path = tmp_path / f"serve-{secrets.token_hex(4)}.mjs"
        given = ["authenticate", deps]
        before = (
            "const authenticate = async (req) => {\n"
            "  const id = req.get('X-Customer');\n  return id ? { id } : null;\n};\n"
        )
        if models:
            before += f"import {{ createModels }} from '{(root / models).as_uri()}';\n"
            given.append("models: await createModels({ ...deps })")
        text = node.with_deps(root / app, ", ".join(filter(None, given)), before)
        path.write_text(text)
        env = {"DATABASE_URL": url} if url else {"DATABASE_URL": ""}
        with node.serve(path, env=env) as running:
            with running.client(headers={"X-Customer": customer}) as client:
                client.output = running.output
                yield client

    return serve


@contextlib.contextmanager
def version(name, shop, request):
    app, models = APPS[name]
    url = ""
    if "PostgreSQL" in name:
        url = request.getfixturevalue("database").url
    with shop(app, url, models=models) as client:
        yield client


def place(client, *items, **more):
    return client.post("/orders", json={"items": list(items), **more})


def pay(client, order):
    return client.post(f"/orders/{order['id']}/payment")


def cancel(client, order):
    return client.post(f"/orders/{order['id']}/cancellation")


def many(sku, quantity):
    return {"sku": sku, "quantity": quantity}


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


BORDERS = {
    "a thousand": ({"items": [many("tea", 1000)]}, "#/items/0/quantity"),
    "half a piece": ({"items": [many("tea", 0.5)]}, "#/items/0/quantity"),
    "text for a number": ({"items": [many("tea", "1")]}, "#/items/0/quantity"),
    "no name": ({"items": [many("tea; --", 1)]}, "#/items/0/sku"),
    "nothing": ({"items": []}, "#/items"),
    "fifty-one": ({"items": [TEA] * 51}, "#/items"),
    "half a character": ({"items": [TEA], "note": "\ud800"}, "#/note"),
    "the end of a text": ({"items": [TEA], "note": "a\x00b"}, "#/note"),
    "a long note": ({"items": [TEA], "note": "x" * 501}, "#/note"),
}


def test_what_is_no_order_is_refused_with_its_place(shop):
    """Also what a database could not store as it is: a lone surrogate, or a NUL."""
    json_ = {"Content-Type": "application/json"}
    with shop("layered/app.mjs") as client:
        for kind, (order, pointer) in BORDERS.items():
            answer = client.post("/orders", content=json.dumps(order), headers=json_)
            assert answer.status_code == 422, kind
            found = [error["pointer"] for error in answer.json()["errors"]]
            assert found == [pointer], kind
        most = {"items": [TEA] * 20, "note": "x" * 500}
        assert client.post("/orders", json=most).status_code == 201


def test_an_order_with_many_errors_gets_twenty_of_them(shop):
    with shop("layered/app.mjs") as client:
        refused = place(client, *([many("no such thing", 0)] * 50), note=7)
        errors = refused.json()["errors"]
        assert len(errors) == 20
        assert errors[0]["pointer"] == "#/note"
        assert errors[-1]["pointer"] == "#/items/9/sku"


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


# --- one contract, three stores -------------------------------------------------------

CONTRACT = """
import {{ {factory} as open }} from '{store}';
import {{ contract }} from '{contract}';
const failed = [];
for (const [name, check] of Object.entries(contract)) {{
  const store = await open({{ url: '{url}', logger: console }});
  {before}
  try {{
    await check(store);
  }} catch (error) {{
    failed.push(name);
  }}
  await store.close();
}}
console.log(JSON.stringify({{ checks: Object.keys(contract).length, failed }}));
"""
FACTORIES = {
    "sqlite": "sqliteStore",
    "memory": "memoryStore",
    "postgres": "postgresStore",
}
EMPTY = """
  const pg = await import('pg');
  const client = new pg.default.Client({ connectionString: process.env.DB });
  await client.connect();
  await client.query("DELETE FROM orders; UPDATE products SET stock = 20");
  await client.end();
"""


def contract(kind: str, url: str = "", root: Path = HERE) -> list[str]:
    """What a store does not keep of the contract."""
    source = CONTRACT.format(
        factory=FACTORIES[kind],
        store=(root / "layered" / f"{kind}.mjs").as_uri(),
        contract=(root / "layered" / "contract.mjs").as_uri(),
        url=url,
        before=EMPTY.replace("process.env.DB", f"'{url}'") if url else "",
    )
    found = json.loads(node.evaluate(source).stdout)
    assert found["checks"] == 9
    return found["failed"]


@pytest.mark.claim("architecture/repository-is-an-orm")
@pytest.mark.parametrize("kind", FACTORIES)
def test_one_contract_holds_for_sqlite_memory_and_postgresql(kind, request):
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    assert contract(kind, url) == []


@pytest.mark.claim("architecture/swap-the-database")
def test_the_contract_finds_a_sum_that_postgresql_gives_as_a_string(copied, database):
    replace(copied / "layered" / "postgres.mjs", "::integer", "")
    failed = contract("postgres", database.url, copied)
    assert failed[0] == "what is owed is a number, of open orders"


def test_without_a_queue_units_mix_on_the_one_connection_of_sqlite(copied):
    replace(
        copied / "turns.mjs",
        "const turn = last.then(step)",
        "const turn = Promise.resolve().then(step)",
    )
    assert "units at the same time do not mix" in contract("sqlite", root=copied)


@pytest.mark.claim("architecture/controller-maps-db-errors")
@pytest.mark.parametrize("known", ["SQLite", "PostgreSQL"])
def test_a_handler_that_knows_one_databases_errors_answers_500_on_the_other(
    known, copied, shop, database
):
    path = copied / "onefile" / "app.postgres.mjs"
    if known == "SQLite":  # the line as it stood before the swap
        replace(
            path,
            "error.code === '23514' && error.constraint === 'in_stock'",
            "error.message.endsWith('constraint failed: in_stock')",
        )
    with shop("onefile/app.postgres.mjs", database.url, root=copied) as client:
        answer = place(client, many("tea", 21))
        assert answer.status_code == (500 if known == "SQLite" else 409)
        assert "constraint" not in answer.text  # nothing leaks in either case


@pytest.mark.parametrize("name", [name for name in APPS if "PostgreSQL" in name])
def test_another_constraint_is_not_a_lack_of_stock(name, shop, database):
    app, models = APPS[name]
    with shop(app, database.url, models=models) as client:
        database.sql("ALTER TABLE products ADD CONSTRAINT odd CHECK (stock <> 19)")
        assert place(client, TEA).status_code == 500
        assert place(client, many("tea", 2)).status_code == 201
        assert place(client, many("tea", 20)).status_code == 409


@pytest.mark.parametrize("kind", ["atomically.mjs", "layered/sqlite.mjs"])
def test_another_process_cannot_write_between_reading_and_writing(kind, tmp_path):
    """The lock is taken at the beginning, so that what was read is still true."""
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    import {{ atomically }} from './{TOPIC}/atomically.mjs';
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const path = '{tmp_path}/shop.db';
    const store = sqliteStore({{ path }});
    const [db, other] = [new DatabaseSync(path), new DatabaseSync(path)]; // wait for nobody
    const sold = () => {{
      try {{
        other.exec('UPDATE products SET stock = 0');
        console.log('written');
      }} catch ({{ message }}) {{
        console.log(message);
      }}
    }};
    if ('{kind}' === 'atomically.mjs') atomically(db, sold);
    else await store.unitOfWork(async () => sold());
    sold();
    """
    ).stdout
    assert seen.splitlines() == ["database is locked", "written"]


# --- a second way in ------------------------------------------------------------------


def refusal(done) -> str:
    """What the command line said; Node 22 adds that SQLite is an experiment."""
    return done.stderr.splitlines()[0]


VERSIONS = {
    "onefile": "onefile/app.cli.mjs",
    "mvc": "mvc/app.mjs",
    "layered": "layered/app.mjs",
}


@pytest.mark.claim("architecture/mvc-is-tied-to-the-ui")
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


@pytest.mark.claim("architecture/rules-in-controllers")
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


@pytest.mark.claim("architecture/rules-in-controllers")
def test_the_rules_stay_as_they_are_only_where_they_have_a_file_of_their_own():
    database, entry = touched("another database"), touched("another entry")
    (one, _), (mvc, _), (layered, adapter) = database.values()
    assert list(database) == list(entry) == list(VERSIONS)
    assert layered < 15 < adapter  # the composition root; the new adapter is new
    assert mvc > 60
    assert one > 60
    # a tie: models without HTTP are as good as an application layer here
    assert entry["mvc"][0] == entry["layered"][0] == 0
    assert entry["onefile"][0] > 60


@pytest.mark.claim("architecture/layers-are-more-code")
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


@pytest.mark.claim("architecture/folders-enforce-layers")
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


@pytest.mark.claim("architecture/injection-needs-a-framework")
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


@pytest.mark.claim("architecture/tests-need-mocks")
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


# --- a leak, a boundary, two writers --------------------------------------------------


@pytest.mark.claim("architecture/layers-keep-input-out")
@pytest.mark.parametrize(
    ("snippet", "role"), [("customers.naive.mjs", "admin"), ("customers.mjs", "customer")]
)
def test_a_role_in_the_body_is_stored_unless_the_input_is_named(snippet, role):
    attack = {"email": "eve@shop.test", "name": "Eve", "role": "admin"}
    with node.serve(f"{TOPIC}/{snippet}") as running, running.client() as client:
        answer = client.post("/customers", json=attack)
        assert answer.status_code == 201
        assert answer.json() == {**attack, "role": role}


def test_the_hardened_registration_takes_a_customer_once_and_nothing_else():
    ann = {"email": "ann@shop.test", "name": "Ann"}
    with node.serve(f"{TOPIC}/customers.mjs") as running, running.client() as client:
        bad = [{}, {**ann, "name": 7}, {**ann, "name": "x" * 201}, [], {"email": ""}]
        assert {client.post("/customers", json=b).status_code for b in bad} == {422}
        codes = [client.post("/customers", json=ann).status_code for _ in range(2)]
        assert codes == [201, 409]
        json_ = {"Content-Type": "application/json"}
        broken = client.post("/customers", content=b"{", headers=json_)
        assert broken.status_code == 400
        assert "body-parser" not in broken.text  # no stack trace
        large = client.post("/customers", json={**ann, "more": "x" * 20_000})
        assert large.status_code == 413


def halves(application: str, kind: str, url: str, path: Path) -> dict:
    """Ten orders whose note only the database refuses: what is left of twenty tea."""
    store = (HERE / "layered" / f"{kind}.mjs").as_uri()
    source = f"""
    import {{ createOrders }} from './{TOPIC}/layered/{application}';
    import {{ {FACTORIES[kind]} as open }} from '{store}';
    const store = await open({{ url: '{url}', path: '{path}' }});
    const orders = createOrders(store);
    const items = [{{ sku: 'tea', quantity: 2 }}];
    let failed = 0;
    for (let n = 0; n < 10; n += 1) {{
      await orders.place('ann', {{ items, note: 'x'.repeat(501) }}).catch((error) => {{
        if (!/short_note/.test(error.message)) throw error;
        failed += 1;
      }});
    }}
    await store.close();
    console.log(failed);
    """
    assert node.evaluate(source).stdout == "10\n"
    question = (
        "SELECT stock FROM products WHERE sku = 'tea'",
        "SELECT count(*) FROM orders",
    )
    if kind == "postgres":
        return question
    with contextlib.closing(sqlite3.connect(path)) as db:
        return {"stock": db.execute(question[0]).fetchone()[0]} | {
            "orders": db.execute(question[1]).fetchone()[0]
        }


@pytest.mark.claim("architecture/transactions-in-repositories")
@pytest.mark.parametrize(
    ("application", "left"), [("application.naive.mjs", 0), ("application.mjs", 20)]
)
def test_an_order_that_fails_half_way_empties_the_shelf_or_leaves_it(
    application, left, tmp_path, database
):
    found = halves(application, "sqlite", "", tmp_path / "shop.db")
    assert found == {"stock": left, "orders": 0}
    stock, orders = halves(application, "postgres", database.url, tmp_path / "none")
    assert (database.sql(stock), database.sql(orders)) == (str(left), "0")


KILLED = """
import {{ createOrders }} from './architecture/layered/{application}';
import {{ sqliteStore }} from './architecture/layered/sqlite.mjs';
const store = sqliteStore({{ path: '{path}' }});
const insert = () => process.kill(process.pid, 'SIGKILL');
const unitOfWork = (work) =>
  store.unitOfWork(({{ orders, products }}) =>
    work({{ orders: {{ ...orders, insert }}, products }}));
const items = [{{ sku: 'tea', quantity: 2 }}];
await createOrders({{ unitOfWork }}).place('ann', {{ items }});
"""


@pytest.mark.parametrize(
    ("application", "left"), [("application.naive.mjs", 18), ("application.mjs", 20)]
)
def test_a_process_that_is_killed_between_two_writes_keeps_half_or_nothing(
    application, left, tmp_path
):
    path = tmp_path / "shop.db"
    done = node.evaluate(KILLED.format(application=application, path=path), code=None)
    assert done.signal == 9
    with contextlib.closing(sqlite3.connect(path)) as db:
        stock = db.execute("SELECT stock FROM products WHERE sku = 'tea'").fetchone()
        assert stock == (left,)
        assert db.execute("SELECT count(*) FROM orders").fetchone() == (0,)


@pytest.mark.parametrize("application", ["application.naive.mjs", "application.mjs"])
def test_with_or_without_a_unit_of_work_an_order_that_is_right_is_placed(application):
    seen = node.evaluate(
        f"""
    import {{ createOrders }} from './{TOPIC}/layered/{application}';
    import {{ memoryStore }} from './{TOPIC}/layered/memory.mjs';
    const orders = createOrders(memoryStore());
    const order = await orders.place('ann', {{ items: [{{ sku: 'tea', quantity: 2 }}] }});
    console.log(order.total);
    """
    ).stdout
    assert seen == "900\n"


TWO_WRITERS = """
import {{ createOrders }} from '{root}/layered/application.mjs';
import {{ postgresStore }} from '{root}/layered/postgres.mjs';

const store = await postgresStore({{ url: '{url}' }});
let [begun, read] = [0, 0];
let go;
const both = new Promise((resolve) => (go = resolve));
// each has read what the customer owes before either of them writes
const unitOfWork = (work) =>
  store.unitOfWork(({{ orders, products }}) => {{
    begun += 1;
    const owed = async (customer) => {{
      const cents = await orders.owed(customer);
      if ((read += 1) === 2) go();
      await {until};
      return cents;
    }};
    return work({{ orders: {{ ...orders, owed }}, products }});
  }});
const {{ place }} = createOrders({{ unitOfWork }});
const order = (sku) => place('ann', {{ items: [{{ sku, quantity: sku === 'tea' ? 20 : 8 }}] }});
const ended = await Promise.allSettled([order('tea'), order('pot')]);
await store.close();
const said = ended.map(({{ reason }}) => reason?.reason ?? reason?.code ?? 'placed');
console.log(JSON.stringify({{ said: said.sort(), begun }}));
"""


def two_writers(root: Path, url: str, until: str = "both") -> dict:
    source = TWO_WRITERS.format(root=root.as_uri(), url=url, until=until)
    return json.loads(node.evaluate(source).stdout)


def owed(database: Database) -> int:
    return int(database.sql("SELECT sum(total) FROM orders WHERE status = 'open'"))


@pytest.fixture
def read_committed(copied):
    """The chapter's snippets, with PostgreSQL's default in the place of serializable."""
    shutil.copyfile(copied / "transaction.naive.mjs", copied / "transaction.mjs")
    return copied


@pytest.mark.claim("architecture/transactions-isolate")
def test_at_the_default_level_two_writers_pass_a_limit_together(read_committed, database):
    found = two_writers(read_committed, database.url)
    assert found == {"said": ["placed", "placed"], "begun": 2}
    assert owed(database) == 109_000  # of a limit of 100 000


@pytest.mark.claim("architecture/transactions-isolate")
def test_as_if_alone_one_of_two_writers_begins_again_and_is_refused(database):
    found = two_writers(HERE, database.url)
    assert found == {"said": ["credit", "placed"], "begun": 3}
    assert owed(database) <= 100_000


def test_a_lock_that_every_writer_takes_keeps_the_limit_at_the_default_level(
    read_committed, database
):
    replace(
        read_committed / "layered" / "postgres.mjs",
        "  async owed(customer) {\n",
        "  async owed(customer) {\n"
        "    await sql('SELECT pg_advisory_xact_lock(hashtext($1))', customer);\n",
    )
    # the second cannot read before the first is done, so nobody waits for both
    found = two_writers(read_committed, database.url, "null")
    assert found == {"said": ["credit", "placed"], "begun": 2}


def test_both_transactions_keep_all_or_nothing_and_give_the_connection_back(database):
    seen = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    import {{ transaction as hardened }} from './{TOPIC}/transaction.mjs';
    import {{ transaction as naive }} from './{TOPIC}/transaction.naive.mjs';
    const pool = openPool('{database.url}', {{ limits: {{ max: 2 }} }});
    await pool.query('CREATE TABLE t (n integer)');
    for (const transaction of [naive, hardened]) {{
      await transaction(pool, (db) => db.query('INSERT INTO t VALUES (1)'));
      const fails = async (db) => {{
        await db.query('INSERT INTO t VALUES (2)');
        throw new Error('stop');
      }};
      for (let n = 0; n < 5; n += 1) await transaction(pool, fails).catch(() => {{}});
      console.log((await pool.query('SELECT n FROM t')).rows.length, pool.waitingCount);
    }}
    await pool.end();
    """
    ).stdout
    assert seen.splitlines() == ["1 0", "2 0"]


def test_a_transaction_gives_up_after_its_tries_whatever_they_are(database):
    """Text from an environment and what is no number end it, too."""
    seen = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    import {{ transaction }} from './{TOPIC}/transaction.mjs';
    const pool = openPool('{database.url}');
    for (const tries of [3, '2', 0, NaN, 'many']) {{
      let begun = 0;
      const never = async () => {{
        begun += 1;
        throw Object.assign(new Error('again'), {{ code: '40001' }});
      }};
      await transaction(pool, never, {{ tries }}).catch(({{ code }}) => console.log(code, begun));
    }}
    const nothing = async () => {{ throw null; }};
    await transaction(pool, nothing).catch((error) => console.log(error));
    await pool.end();
    """
    ).stdout
    said = [f"40001 {tries}" for tries in (3, 2, 1, 1, 1)]
    assert seen.splitlines() == [*said, "null"]


DEADLOCK = """
import {{ openPool }} from './architecture/pool.mjs';
import {{ transaction }} from './architecture/transaction.mjs';
const pool = openPool('{url}');
await pool.query("CREATE TABLE t (k text, n integer); INSERT INTO t VALUES ('a', 0), ('b', 0)");
let [begun, first] = [0, 0];
let go;
const both = new Promise((resolve) => (go = resolve));
let done;
const committed = new Promise((resolve) => (done = resolve));
const change = (...keys) => async (db) => {{
  begun += 1;
  if (begun > 2) await committed; // or the two might meet again
  for (const key of keys) {{
    await db.query('UPDATE t SET n = n + 1 WHERE k = $1', [key]);
    if ((first += 1) === 2) go();
    await both; // each has one row, and asks for the other's
  }}
}};
await Promise.all([change('a', 'b'), change('b', 'a')].map((work) => transaction(pool, work).then(done)));
console.log(begun, (await pool.query('SELECT n FROM t')).rows.map(({{ n }}) => n).join());
await pool.end();
"""


def test_of_two_that_wait_for_each_other_one_begins_again(database):
    assert node.evaluate(DEADLOCK.format(url=database.url)).stdout == "3 2,2\n"


def test_a_client_comes_back_without_what_a_transaction_hung_on_it(database):
    done = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    import {{ transaction }} from './{TOPIC}/transaction.mjs';
    const pool = openPool('{database.url}', {{ limits: {{ max: 1 }} }});
    const listeners = async () => {{
      const client = await pool.connect();
      client.release();
      return client.listenerCount('error');
    }};
    const before = await listeners();
    for (let n = 0; n < 20; n += 1) await transaction(pool, (db) => db.query('SELECT 1'));
    console.log((await listeners()) - before);
    await pool.end();
    """
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


# how a connection is lost, as the work of a transaction; `kill(pid)` ends the backend,
# and what it said has arrived
LOST = {
    "between two queries": "await kill(pid); await query('SELECT 1');",
    "in a query": "await query('SELECT pg_terminate_backend($1)', [pid]);",
    "while it waits for something else": "await kill(pid);",
    "while it waits for ever": "await kill(pid); await new Promise(() => {});",
    "by the pool's own limit": "await new Promise(() => {});",
}
LOSES = """
import pg from 'pg';
import {{ setImmediate }} from 'node:timers/promises';
import {{ openPool }} from './architecture/pool.mjs';
import {{ transaction }} from './architecture/{snippet}';
const limits = {{ idle_in_transaction_session_timeout: {idle} }};
const pool = openPool('{url}', {{ limits }});
const other = new pg.Client({{ connectionString: '{url}' }});
await other.connect();
const kill = async (pid) => {{
  await other.query('SELECT pg_terminate_backend($1)', [pid]);
  const left = 'SELECT FROM pg_stat_activity WHERE pid = $1';
  while ((await other.query(left, [pid])).rows.length);
  await setImmediate(); // its last words are read before this
}};
const work = async (db) => {{
  const query = db.query.bind(db);
  const {{ pid }} = (await query('SELECT pg_backend_pid() AS pid')).rows[0];
  {lose}
}};
await transaction(pool, work).then(
  () => console.log('committed'),
  ({{ code }}) => console.log(code),
);
console.log(await transaction(pool, async (db) => {{
  return (await db.query('SELECT 1 AS one')).rows[0].one;
}}));
console.log(pool.totalCount, pool.idleCount);
await Promise.all([other.end(), pool.end()]);
"""


@pytest.mark.parametrize("how", LOST)
def test_a_connection_lost_in_a_transaction_rejects_it_and_the_process_goes_on(
    how, database
):
    idle = 1_000 if "limit" in how else 10_000
    source = LOSES.format(
        url=database.url, lose=LOST[how], idle=idle, snippet="transaction.mjs"
    )
    code = "25P03" if "limit" in how else "57P01"
    # the one that was lost is gone, the one that took its place is idle
    assert node.evaluate(source).stdout.splitlines() == [code, "1", "1 1"]


@pytest.mark.parametrize("kind", ["pool.mjs", "nobody listens"])
def test_a_client_that_is_lost_while_somebody_has_it_ends_the_process_or_not(
    kind, database
):
    """With `transaction.naive.mjs`, which leaves the listening to the pool."""
    source = LOSES.format(
        url=database.url, lose=LOST["while it waits for something else"], idle=10_000,
        snippet="transaction.naive.mjs",
    )  # fmt: skip
    if kind == "pool.mjs":
        said = node.evaluate(source).stdout.splitlines()
        assert said == ["undefined", "1", "1 1"]  # COMMIT was not possible any more
        return
    source = source.replace(
        f"openPool('{database.url}', {{ limits }})",
        f"new pg.Pool({{ connectionString: '{database.url}' }}).on('error', () => {{}})",
    )
    done = node.evaluate(source, code=1)
    assert done.stdout == ""
    assert "terminating connection due to administrator command" in done.stderr


@pytest.mark.parametrize("name", [name for name in APPS if "PostgreSQL" in name])
def test_no_version_ends_when_postgresql_closes_its_connections(name, shop, database):
    """Eight place orders while all connections are closed, again and again."""
    app, models = APPS[name]
    one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    one += f"WHERE datname = '{database.name}' AND pid <> pg_backend_pid()"
    with shop(app, database.url, models=models) as client:
        database.sql("UPDATE products SET stock = 100000")
        done = threading.Event()

        def buy(n):
            headers = {"X-Customer": f"c{n}"}
            codes = []
            while not done.is_set():
                order = {"items": [TEA]}
                codes.append(client.post("/orders", json=order, headers=headers))
            return [answer.status_code for answer in codes]

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            running = [threads.submit(buy, n) for n in range(8)]
            try:
                for _ in range(20):
                    database.sql(one)
            finally:
                done.set()
            codes = [code for one in running for code in one.result()]
        assert set(codes) <= {201, 409, 500}
        assert 500 in codes  # some were lost
        process.until(lambda: place(client, POT).status_code == 201)
        # nothing is half: each order that is stored took its piece, and no other did
        stock = database.sql("SELECT 100000 - stock FROM products WHERE sku = 'tea'")
        assert stock == database.sql(
            "SELECT count(*) FROM orders WHERE items LIKE '%tea%'"
        )


def test_a_commit_that_postgresql_answers_with_rollback_is_no_success(database):
    seen = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    import {{ transaction }} from './{TOPIC}/transaction.mjs';
    const pool = openPool('{database.url}');
    await pool.query('CREATE TABLE t (n integer PRIMARY KEY)');
    const work = async (db) => {{
      await db.query('INSERT INTO t VALUES (1)');
      await db.query('INSERT INTO t VALUES (1)').catch(() => {{}}); // "it is there already"
    }};
    await transaction(pool, work).then(
      () => console.log('committed'),
      ({{ message }}) => console.log(message),
    );
    console.log((await pool.query('SELECT n FROM t')).rows.length);
    await pool.end();
    """
    ).stdout
    assert seen.splitlines() == ["a query of it had failed", "0"]


# a proxy before PostgreSQL that can keep to itself what the server says
SILENT = """
import net from 'node:net';
import {{ once }} from 'node:events';
import {{ openPool }} from './architecture/pool.mjs';
import {{ transaction }} from './architecture/transaction.mjs';
let silent = false;
const url = new URL('{url}');
const {{ port, hostname }} = url;
const proxy = net.createServer((client) => {{
  const server = net.connect(port, hostname);
  client.pipe(server);
  server.on('data', (data) => silent || client.write(data));
  server.on('close', () => client.destroy()).on('error', () => {{}});
  client.on('close', () => server.destroy()).on('error', () => {{}});
}});
await once(proxy.listen(0, '127.0.0.1'), 'listening');
url.port = proxy.address().port;
const pool = openPool(url.href, {{ limits: {{ query_timeout: 1_500 }} }});
const one = async () => (await pool.query('SELECT 1 AS one')).rows[0].one;
const whole = () => transaction(pool, (db) => db.query('SELECT 2'));
const ask = {{ one, whole }};
for (const [name, question] of Object.entries(ask)) {{
  await question();
  silent = true;
  await question().catch(({{ message }}) => console.log(name, message));
  console.log(pool.totalCount); // it is not for the next one
  silent = false;
  console.log(await one());
}}
await pool.end();
silent = true;
const limits = {{ connectionTimeoutMillis: 100 }};
const none = openPool(url.href, {{ limits }});
await none.query('SELECT 1').catch(({{ message }}) => console.log(message));
proxy.close();
"""


def test_a_server_that_is_there_and_silent_is_given_up(database):
    """No packet comes any more, as behind a firewall that forgot the connection."""
    seen = node.evaluate(SILENT.format(url=database.url)).stdout.splitlines()
    assert seen == [
        *["one Query read timeout", "0", "1"],
        *["whole Query read timeout", "0", "1"],
        "Connection terminated due to connection timeout",
    ]


CUT = """
import net from 'node:net';
import {{ once }} from 'node:events';
import {{ openPool }} from './architecture/pool.mjs';
import {{ transaction }} from './architecture/transaction.mjs';
const url = new URL('{url}');
const {{ port, hostname }} = url;
let cut = '{statement}';
const proxy = net.createServer((client) => {{
  const server = net.connect(port, hostname);
  client.on('data', (data) => {{
    if (cut && data.includes(cut)) return client.destroy();
    return server.write(data);
  }});
  server.pipe(client);
  server.on('error', () => {{}});
  client.on('close', () => server.destroy()).on('error', () => {{}});
}});
await once(proxy.listen(0, '127.0.0.1'), 'listening');
url.port = proxy.address().port;
const pool = openPool(url.href);
const work = async (db) => (await db.query('SELECT 1 AS one')).rows[0].one;
await transaction(pool, work).catch(({{ message }}) => console.log(message));
cut = '';
console.log(await transaction(pool, work));
await pool.end();
proxy.close();
"""


@pytest.mark.parametrize("statement", ["BEGIN", "SELECT", "COMMIT"])
def test_a_connection_that_is_cut_at_any_statement_is_one_rejection(statement, database):
    """Nobody waits for the work yet, or any more; it is no second, unhandled one."""
    source = CUT.format(url=database.url, statement=statement)
    said = node.evaluate(source).stdout.splitlines()
    assert said == ["Connection terminated unexpectedly", "1"]


def test_a_pool_has_its_limits_and_postgresql_knows_them(database):
    seen = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    const usual = openPool('{database.url}');
    for (const name of ['statement_timeout', 'idle_in_transaction_session_timeout']) {{
      console.log((await usual.query(`SHOW ${{name}}`)).rows[0][name]);
    }}
    const {{ max, connectionTimeoutMillis, query_timeout, statement_timeout }} = usual.options;
    console.log(max, connectionTimeoutMillis > 0, query_timeout > statement_timeout);
    await usual.end();

    const limits = {{ max: 1, connectionTimeoutMillis: 2_000, statement_timeout: 100 }};
    const small = openPool('{database.url}', {{ limits }});
    await small.query('SELECT pg_sleep(60)').catch(({{ code }}) => console.log(code));
    const only = await small.connect();
    await small.connect().catch(({{ message }}) => console.log(message));
    only.release();
    await small.end();
    """
    ).stdout
    assert seen.splitlines() == [
        "5s", "10s", "10 true true", "57014", "timeout exceeded when trying to connect",
    ]  # fmt: skip


URL = "postgres://shop@127.0.0.1/shop"
NO_POOL = {
    "no URL": ("undefined", "", "needs the URL"),
    "no size": (f"'{URL}'", "max: 0", "TypeError: max: not a whole number, 1 or more"),
    "no end": (f"'{URL}'", "statement_timeout: 0", "statement_timeout: not a"),
    "text": (f"'{URL}'", "query_timeout: '6000'", "query_timeout: not a"),
    "nothing": (f"'{URL}'", "query_timeout: undefined", "query_timeout: not a"),
    "too long": (f"'{URL}'", "query_timeout: 2 ** 31", "query_timeout: not a"),
    "a wrong name": (f"'{URL}'", "statement_time: 5", "statement_time is no limit"),
    "in the URL": (f"'{URL}?ssl=0&query_timeout=0'", "", "query_timeout: not in the URL"),
}


@pytest.mark.parametrize("kind", NO_POOL)
def test_a_pool_without_a_limit_is_not_made(kind):
    url, limits, said = NO_POOL[kind]
    done = node.evaluate(
        f"""
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    openPool({url}, {{ limits: {{ {limits} }} }});
    """,
        code=1,
    )
    assert said in done.stderr
    assert "shop@" not in done.stderr.partition("Error: ")[2]  # no password in a log


def test_several_that_start_at_once_all_find_the_tables(database):
    seen = node.evaluate(
        f"""
    import {{ createModels }} from './{TOPIC}/mvc/models.postgres.mjs';
    import {{ createApp }} from './{TOPIC}/onefile/app.postgres.mjs';
    import {{ postgresStore }} from './{TOPIC}/layered/postgres.mjs';
    const deps = {{ url: '{database.url}' }};
    const all = [createModels, createApp, postgresStore].flatMap((start) =>
      Array.from({{ length: 4 }}, () => start(deps)),
    );
    const ended = await Promise.allSettled(all);
    console.log(ended.filter(({{ reason }}) => reason).map(({{ reason }}) => reason.code).join());
    process.exit();
    """
    ).stdout
    assert seen == "\n"


def test_a_database_that_cannot_be_prepared_leaves_no_connection(database):
    database.sql("CREATE TABLE orders (id integer)")  # somebody else's
    seen = node.evaluate(
        f"""
    import {{ setTimeout as sleep }} from 'node:timers/promises';
    import {{ openDatabase }} from './{TOPIC}/database.mjs';
    await openDatabase('{database.url}').catch(({{ message }}) => console.log(message));
    const open = () => process.getActiveResourcesInfo().includes('TCPSocketWrap');
    // an idle one would stay for ten seconds
    const until = performance.now() + 5_000;
    while (open() && performance.now() < until) await sleep(10);
    console.log(open());
    """
    ).stdout
    assert seen.splitlines() == ['column "customer" does not exist', "false"]


def test_a_database_ends_with_its_signal_also_while_it_is_opened(database):
    seen = node.evaluate(
        f"""
    import {{ openDatabase }} from './{TOPIC}/database.mjs';
    import {{ postgresStore }} from './{TOPIC}/layered/postgres.mjs';
    const url = '{database.url}';
    for (const when of ['before it is open', 'later']) {{
      const shutdown = new AbortController();
      const opened = openDatabase(url, {{ signal: shutdown.signal }});
      if (when !== 'later') shutdown.abort();
      const pool = await opened;
      shutdown.abort();
      await pool.query('SELECT 1').catch(({{ message }}) => console.log(message));
    }}
    const shutdown = new AbortController();
    const store = await postgresStore({{ url, signal: shutdown.signal }});
    await store.close();
    shutdown.abort(); // closed already: no error
    """
    ).stdout
    assert seen.splitlines() == ["Cannot use a pool after calling end on the pool"] * 2


@pytest.mark.parametrize("kind", ["pool.mjs", "nobody listens"])
def test_a_connection_that_dies_in_the_pool_ends_the_process_unless_somebody_listens(
    kind, database
):
    make = (
        f"openPool('{database.url}', {{ logger: {{ error: (e, text) => lost(text) }} }})"
    )
    if kind == "nobody listens":
        make = f"new pg.Pool({{ connectionString: '{database.url}' }})"
    done = node.evaluate(
        f"""
    import pg from 'pg';
    import {{ openPool }} from './{TOPIC}/pool.mjs';
    let lost;
    const told = new Promise((resolve) => (lost = resolve));
    const pool = {make};
    const {{ rows }} = await pool.query('SELECT pg_backend_pid() AS pid'); // idle now
    const other = new pg.Client({{ connectionString: '{database.url}' }});
    await other.connect();
    await other.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    console.log(await told);
    console.log((await pool.query('SELECT 1 AS one')).rows[0].one);
    await Promise.all([other.end(), pool.end()]);
    """,
        code=0 if kind == "pool.mjs" else 1,
    )
    if kind == "pool.mjs":
        assert done.stdout == "connection lost\n1\n"
    else:
        assert "terminating connection due to administrator command" in done.stderr


# --- what SQLite has taken back by itself ------------------------------------------------

FULL = """
import { DatabaseSync } from 'node:sqlite';
import { place } from './architecture/outbox.mjs';
import { SCHEMA } from './architecture/schema.mjs';
const db = new DatabaseSync(':memory:');
db.exec(SCHEMA);
const size = db.prepare('PRAGMA page_count').get().page_count;
db.exec(`PRAGMA max_page_count = ${size}`);
const big = 'x'.repeat(200_000);
const order = { id: 'a', customer: 'ann', items: [big], total: 1 };
await place({ db }, order).catch(({ message }) => console.log(message));
await place({ db }, { ...order, items: [] }); // and it can go on
console.log(db.prepare('SELECT count(*) AS n FROM outbox').get().n);
"""


def test_a_full_disk_is_what_is_thrown_and_not_a_failed_rollback():
    seen = node.evaluate(FULL).stdout
    assert seen.splitlines() == ["database or disk is full", "1"]


@pytest.mark.parametrize("name", [name for name in APPS if "SQLite" in name])
def test_no_version_hides_why_sqlite_rolled_back(name, shop, tmp_path):
    file = tmp_path / "shop.db"
    trigger = """
        CREATE TRIGGER no BEFORE INSERT ON orders BEGIN
          SELECT RAISE(ROLLBACK, 'the trigger says no');
        END
    """
    with shop(APPS[name][0], deps=f"path: {json.dumps(str(file))}") as client:
        with contextlib.closing(sqlite3.connect(file)) as db:
            db.execute(trigger)
            assert place(client, many("tea", 20)).status_code == 500
            assert "the trigger says no" in client.output()
            assert "cannot rollback" not in client.output()
            db.execute("DROP TRIGGER no")
        assert place(client, many("tea", 20)).status_code == 201  # nothing was taken


def test_work_that_awaits_is_refused_where_nobody_would_wait_for_it():
    seen = node.evaluate(
        f"""
    import {{ DatabaseSync }} from 'node:sqlite';
    import {{ atomically }} from './{TOPIC}/atomically.mjs';
    const db = new DatabaseSync(':memory:');
    db.exec('CREATE TABLE t (n INTEGER)');
    const insert = () => db.exec('INSERT INTO t VALUES (1)');
    try {{
      atomically(db, async () => insert());
    }} catch ({{ name, message }}) {{
      console.log(name, message);
    }}
    console.log(atomically(db, () => db.prepare('SELECT count(*) AS n FROM t').get().n));
    """
    ).stdout
    assert seen.splitlines() == ["TypeError work must not await", "0"]


# --- a unit that hangs -------------------------------------------------------------------

HANGS = {
    "sqlite": ("{ patience: 100 }", "not within 100 ms"),
    "memory": ("{ patience: 100 }", "not within 100 ms"),
    "postgres": (
        "{ url, limits: { idle_in_transaction_session_timeout: 1_000 } }",
        "terminating connection due to idle-in-transaction timeout",
    ),
}


@pytest.mark.parametrize("kind", HANGS)
def test_a_unit_that_hangs_is_taken_back_and_holds_up_nobody(kind, request):
    deps, said = HANGS[kind]
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const url = '{url}';
    const store = await open({deps});
    const tea = [{{ sku: 'tea', quantity: 20 }}];
    let goOn;
    const gate = new Promise((resolve) => (goOn = resolve));
    let late;
    const hangs = store.unitOfWork(async ({{ products }}) => {{
      await products.take(tea);
      await gate; // an answer that does not come, or not in time
      late = await products.giveBack(tea).catch(() => 'refused');
    }});
    await hangs.catch(({{ message }}) => console.log(message));
    goOn();
    await store.unitOfWork(({{ products }}) => products.take(tea)); // all there
    console.log(late);
    const more = store.unitOfWork(({{ products }}) => products.take(tea));
    await more.catch(({{ reason }}) => console.log(reason));
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == [said, "refused", "no-stock"]


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_reading_that_hangs_holds_up_nobody(kind):
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = open({{ patience: 100 }});
    const never = () => new Promise(() => {{}});
    await store.read(never).catch(({{ message }}) => console.log(message));
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    """
    ).stdout
    assert seen.splitlines() == ["not within 100 ms", "null"]


@pytest.mark.parametrize("kind", FACTORIES)
def test_who_reads_sees_no_half_of_a_unit(kind, request):
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    seen = node.evaluate(
        f"""
    import {{ {FACTORIES[kind]} as open }} from './{TOPIC}/layered/{kind}.mjs';
    const store = await open({{ url: '{url}' }});
    const order = {{ id: 'a', customer: 'ann', items: [], status: 'open', total: 1, version: 1 }};
    let written;
    let goOn;
    const half = new Promise((resolve) => (written = resolve));
    const gate = new Promise((resolve) => (goOn = resolve));
    const unit = store.unitOfWork(async ({{ orders }}) => {{
      await orders.insert(order);
      written();
      await gate;
      throw new Error('taken back');
    }});
    await half;
    const read = store.read(({{ orders }}) => orders.get('a'));
    setImmediate(goOn);
    await unit.catch(({{ message }}) => console.log(message));
    console.log(await read);
    await store.close();
    """
    ).stdout
    assert seen.splitlines() == ["taken back", "null"]


def test_a_unit_that_is_done_leaves_no_timer_behind():
    """Else each request would keep one for the rest of its patience."""
    seen = node.evaluate(
        f"""
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const store = sqliteStore();
    await store.unitOfWork(async () => {{}});
    await store.read(async () => {{}});
    console.log(process.getActiveResourcesInfo().includes('Timeout'));
    """
    ).stdout
    assert seen == "false\n"


def test_a_store_that_is_passed_in_is_closed_by_who_opened_it():
    seen = node.evaluate(
        f"""
    import {{ createApp }} from './{TOPIC}/layered/app.mjs';
    import {{ sqliteStore }} from './{TOPIC}/layered/sqlite.mjs';
    const mine = new AbortController();
    const store = sqliteStore({{ signal: mine.signal }});
    const shutdown = new AbortController();
    for (let n = 0; n < 2; n += 1) await createApp({{ store, signal: shutdown.signal }});
    shutdown.abort(); // two apps have it; a third may still
    console.log(await store.read(({{ orders }}) => orders.get('none')));
    mine.abort();
    await store.close(); // twice is no error
    await store.read(({{ orders }}) => orders.get('a')).catch(({{ code }}) => console.log(code));
    """
    ).stdout
    assert seen.splitlines() == ["null", "ERR_INVALID_STATE"]


OUTBOX = """
import {{ DatabaseSync }} from 'node:sqlite';
import {{ SCHEMA }} from './architecture/schema.mjs';
import * as outbox from './architecture/{snippet}';

const db = new DatabaseSync(':memory:');
db.exec(SCHEMA);
const told = [];
let up = false;
const publish = async (event) => {{
  if (!up) throw new Error('the broker is away');
  told.push(event.id);
}};
const order = (id) => ({{ id, customer: 'ann', items: [], total: 450 }});
const placed = [];
for (const id of ['a', 'b', 'a']) {{
  await Promise.resolve(outbox.place({{ db, publish }}, order(id))).then(
    () => placed.push(id),
    () => placed.push('error'),
  );
}}
await outbox.relay?.({{ db, publish }}).catch(() => {{}});
up = true;
await outbox.relay?.({{ db, publish }});
await outbox.relay?.({{ db, publish }}); // nothing is left
const stored = db.prepare('SELECT id FROM orders').all().map(({{ id }}) => id);
console.log(JSON.stringify({{ placed, stored, told }}));
"""


@pytest.mark.claim("architecture/publish-after-commit")
@pytest.mark.parametrize("snippet", ["outbox.naive.mjs", "outbox.mjs"])
def test_events_told_after_the_write_are_lost_and_those_in_an_outbox_are_not(snippet):
    found = json.loads(node.evaluate(OUTBOX.format(snippet=snippet)).stdout)
    assert found["stored"] == ["a", "b"]
    if snippet == "outbox.naive.mjs":
        assert found["placed"] == ["error", "error", "error"]
        assert found["told"] == []
    else:
        assert found["placed"] == ["a", "b", "error"]  # the second `a` is no new one
        assert found["told"] == ["a", "b"]


def test_the_naive_outbox_tells_while_the_broker_is_there():
    source = OUTBOX.format(snippet="outbox.naive.mjs").replace("up = false", "up = true")
    assert json.loads(node.evaluate(source).stdout)["told"] == ["a", "b"]


RELAY = OUTBOX.format(snippet="outbox.mjs").partition("const placed")[0]


def test_a_publisher_that_hangs_is_given_up_and_the_rest_waits_in_order():
    seen = node.evaluate(
        RELAY
        + """
    for (const id of ['a', 'b', 'c']) await outbox.place({ db }, order(id));
    let given;
    const hangs = ({ id }, { signal }) => {
      given = signal;
      told.push(id);
      return id === 'b' ? new Promise(() => {}) : undefined;
    };
    await outbox.relay({ db, publish: hangs, patience: 50 }).catch(({ message }) => {
      console.log(message, told.join(), given.aborted);
    });
    up = true;
    await outbox.relay({ db, publish });
    console.log(told.join());
    """
    ).stdout
    assert seen.splitlines() == ["not within 50 ms a,b true", "a,b,b,c"]


def test_relaying_goes_on_after_an_error_and_ends_with_its_signal():
    seen = node.evaluate(
        RELAY
        + """
    await outbox.place({ db }, order('a'));
    const shutdown = new AbortController();
    let running = 0;
    const flaky = async (event) => {
      if ((running += 1) > 1) console.log('twice at once');
      await publish(event).finally(() => (running -= 1));
      await outbox.place({ db }, order(`${event.id}a`)); // there is always one more
      if (told.length === 3) shutdown.abort();
    };
    const logger = {
      error({ error }, text) {
        console.log(`${text}: ${error.message}`);
        up = true;
      },
    };
    await outbox.keepRelaying({ db, publish: flaky, signal: shutdown.signal, logger });
    console.log(told.join());
    """
    ).stdout
    assert seen.splitlines() == ["events are waiting: the broker is away", "a,aa,aaa"]


def test_a_relay_that_ends_after_telling_tells_again():
    seen = node.evaluate(
        RELAY
        + """
    up = true;
    await outbox.place({ db }, order('a'));
    const crash = async (event) => { await publish(event); throw new Error('crash'); };
    await outbox.relay({ db, publish: crash }).catch(() => {});
    await outbox.relay({ db, publish });
    console.log(told.join());
    """
    ).stdout
    assert seen == "a,a\n"


# --- measured and recorded --------------------------------------------------------------


def mutants(suite: str, folder: Path) -> dict[str, int]:
    """StrykerJS changes domain.mjs, a mutant at a time; counts by what became of it."""
    folder.mkdir()
    for name in ("domain.mjs", suite):
        shutil.copyfile(HERE / "layered" / name, folder / name)
    (folder / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    config = {
        "testRunner": "command",
        "commandRunner": {"command": f"{node.binary()} {suite}"},
        "plugins": [],
        "mutate": ["domain.mjs"],
        "reporters": ["json"],
        "jsonReporter": {"fileName": "report.json"},
        "concurrency": 2,
        "tempDirName": "sandbox",
        "ignorePatterns": ["node_modules"],
        "allowConsoleColors": False,
    }
    (folder / "stryker.config.json").write_text(json.dumps(config))
    stryker = node.SNIPPETS / "node_modules/@stryker-mutator/core/bin/stryker.js"
    subprocess.run(
        [node.binary(), stryker, "run"], cwd=folder, check=True, timeout=60,
        capture_output=True,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text("utf-8"))
    found = [m["status"] for m in report["files"]["domain.mjs"]["mutants"]]
    return {status: found.count(status) for status in set(found)}


def covered(suite: str) -> str:
    """Lines, branches and functions of domain.mjs that a suite runs, in percent."""
    done = node.run(
        HERE / "layered" / suite,
        flags=(
            "--experimental-test-coverage",
            "--test-coverage-include=**/domain.mjs",
            "--test-reporter=tap",
        ),
    )
    row = re.search(r"domain\.mjs\s+\|([^\n]+?)\|\s*\n", done.stdout)
    return " ".join(row[1].split())


def test_both_suites_cover_all_of_the_domain():
    suites = ("domain.test.mjs", "domain.naive.test.mjs")
    assert {covered(suite) for suite in suites} == {"100.00 | 100.00 | 100.00"}


@pytest.mark.timing  # it counts; but StrykerJS keeps both cores busy for a while
@pytest.mark.claim("architecture/covered-is-tested")
def test_a_suite_that_covers_everything_lets_mutants_live(tmp_path):
    killed = {}
    for suite, name in (("domain.test.mjs", "all"), ("domain.naive.test.mjs", "naive")):
        found = mutants(suite, tmp_path / name)
        assert set(found) <= {"Killed", "Survived"}
        killed[name] = found["Killed"], sum(found.values())
    assert killed["all"][0] == killed["all"][1]
    for name, said in (("all", "that asks for values"), ("naive", "that covers alike")):
        evidence.hold(
            f"{TOPIC}/mutation-{name}",
            100 * killed[name][0] / killed[name][1],
            "%",
            f"mutants of the domain killed by the suite {said}",
            source=SOURCE,
            **({"above": 99} if name == "all" else {"below": 90}),
        )
    evidence.hold(
        f"{TOPIC}/mutants", killed["all"][1], "mutants",
        "that StrykerJS makes of the domain", source=SOURCE, above=30,
    )  # fmt: skip


WRITERS = """
import {{ createOrders }} from '{root}/layered/application.mjs';
import {{ postgresStore }} from '{root}/layered/postgres.mjs';

const store = await postgresStore({{ url: '{url}' }});
let begun = 0;
const unitOfWork = (work) =>
  store.unitOfWork((stores) => {{
    begun += 1;
    return work(stores);
  }});
const {{ place }} = createOrders({{ unitOfWork }});
const found = [];
for (const writers of [1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8]) {{
  begun = 0;
  let failed = 0;
  const one = async (n) => {{
    for (let order = 0; order < 10; order += 1) {{
      const items = [{{ sku: 'tea', quantity: 1 }}];
      await place(`customer-${{n}}`, {{ items }}).catch((error) => {{
        if (error.code !== '40001') throw error;
        failed += 1;
      }});
    }}
  }};
  await Promise.all(Array.from({{ length: writers }}, (_, n) => one(n)));
  found.push({{ writers, orders: writers * 10, begun, failed }});
}}
await store.close();
console.log(JSON.stringify(found));
"""


@pytest.mark.timing
def test_who_writes_one_row_together_begins_again(read_committed, server):
    found = {}
    for kind, root in (("serializable", HERE), ("read committed", read_committed)):
        database = Database(server)
        node.evaluate(
            "import { postgresStore } from '" + (HERE / "layered/postgres.mjs").as_uri()
            + f"';\nawait (await postgresStore({{ url: '{database.url}' }})).close();"
        )  # fmt: skip
        database.sql("UPDATE products SET stock = 100000")
        source = WRITERS.format(root=root.as_uri(), url=database.url)
        found[kind] = json.loads(node.evaluate(source, 60).stdout)
        sold = sum(row["orders"] - row["failed"] for row in found[kind])
        # whatever was given up, nothing was half written
        assert database.sql("SELECT stock FROM products WHERE sku = 'tea'") == str(
            100_000 - sold
        )
        assert database.sql("SELECT count(*) FROM orders") == str(sold)
    at_once = (1, 2, 4, 8)
    attempts, failed = {}, {}
    for kind, rows in found.items():
        for row in rows:
            key = kind, row["writers"]
            attempts.setdefault(key, []).append(row["begun"] / row["orders"])
            failed.setdefault(key, []).append(row["failed"])
    assert attempts["serializable", 1] == [1, 1, 1]
    assert all(attempts["read committed", n] == [1, 1, 1] for n in at_once)
    evidence.hold(
        f"{TOPIC}/attempts-of-eight", attempts["serializable", 8], "attempts",
        "of an order, eight writers of one row, serializable", source=SOURCE, above=1.05,
    )  # fmt: skip
    evidence.hold(
        f"{TOPIC}/given-up-of-eight", failed["serializable", 8], "of eighty",
        "orders given up after eight attempts, eight writers of one row",
        source=SOURCE, below=40,
    )  # fmt: skip
    lines = {
        kind: [statistics.median(attempts[kind, n]) for n in at_once] for kind in found
    }
    drawing, axes = figure.plot(5.9, 2.8)
    for (kind, values), marker in zip(lines.items(), "os", strict=True):
        axes.plot(at_once, values, marker=marker, label=kind)
    axes.set(xlabel="writers at once", ylabel="attempts per order", ylim=(0, None))
    axes.set_xticks(at_once)
    axes.legend(loc="lower right", ncols=2)
    figure.publish(
        f"{TOPIC}/writers",
        drawing,
        "Attempts per order against writers that take the same product at once, on "
        "PostgreSQL. Read committed stays at one attempt, since the second waits for "
        "the row. Serializable begins at one and rises above it with two writers and "
        "more.",
        {"writers": at_once, **lines},
        source=SOURCE,
    )


IN_TURN = """
const versions = {versions};
const item = '{{"items":[{{"sku":"tea","quantity":1}}]}}';
const ask = {{
  read: ({{ url, id }}) => fetch(`${{url}}/orders/${{id}}`, {{
    headers: {{ 'X-Customer': 'ann' }},
  }}),
  place: ({{ url }}, n) => fetch(`${{url}}/orders`, {{
    method: 'POST',
    headers: {{ 'X-Customer': `c${{n}}`, 'Content-Type': 'application/json' }},
    body: item,
  }}),
}};
const took = {{ read: {{}}, place: {{}} }};
for (let n = -20; n < 125; n += 1) {{
  for (const what of ['read', 'place']) {{
    for (const [version, server] of Object.entries(versions)) {{
      const begun = performance.now();
      const answer = await ask[what](server, n);
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`${{version}}: ${{answer.status}}`);
      const time = performance.now() - begun;
      if (n >= 0) (took[what][version] ??= []).push(time); // the others warm up
    }}
  }}
}}
console.log(JSON.stringify(took));
"""


@pytest.mark.timing
@pytest.mark.claim("architecture/layers-cost-performance")
def test_on_postgresql_the_way_through_the_layers_is_a_small_part(shop, server):
    """Median time of reading and of placing an order, the versions asked in turn."""
    versions = {}
    with contextlib.ExitStack() as stack:
        for name in ("one file", "MVC", "layered"):
            app, models = APPS[f"{name}, PostgreSQL"]
            database = Database(server)
            client = stack.enter_context(shop(app, database.url, models=models))
            database.sql("UPDATE products SET stock = 100000")
            id = place(client, TEA).json()["id"]
            versions[name] = {"url": str(client.base_url).rstrip("/"), "id": id}
        source = IN_TURN.format(versions=json.dumps(versions))
        took = json.loads(node.evaluate(source, 60).stdout)
    for what, times in took.items():
        blocks = [slice(n, n + 25) for n in range(0, 125, 25)]
        evidence.hold(
            f"{TOPIC}/{what}-on-postgresql",
            [
                statistics.median(times["layered"][block])
                / statistics.median(times["one file"][block])
                for block in blocks
            ],
            "×",
            f"median time to {what} an order on PostgreSQL, layered against one file",
            source=SOURCE,
            below=3,
        )


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
