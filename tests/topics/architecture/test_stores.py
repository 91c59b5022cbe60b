"""One contract, kept by the stores in memory, SQLite and PostgreSQL."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from lab.run import node

from .shared import APPS, FACTORIES, HERE, TEA, TOPIC, many, place, replace

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


@pytest.mark.claim("architecture/repository-is-an-orm", verdict="wrong")
@pytest.mark.parametrize("kind", FACTORIES)
def test_one_contract_holds_for_sqlite_memory_and_postgresql(kind, request):
    url = request.getfixturevalue("database").url if kind == "postgres" else ""
    assert contract(kind, url) == []


@pytest.mark.claim("architecture/swap-the-database", verdict="depends")
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


@pytest.mark.claim("architecture/controller-maps-db-errors", verdict="wrong")
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
