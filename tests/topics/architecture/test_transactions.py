"""Units of work: all or nothing, and two writers at once."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from lab.run import node

from .shared import FACTORIES, HERE, TOPIC, Database, replace


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


@pytest.mark.claim("architecture/transactions-in-repositories", verdict="wrong")
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


@pytest.mark.claim("architecture/transactions-isolate", verdict="depends")
def test_at_the_default_level_two_writers_pass_a_limit_together(read_committed, database):
    found = two_writers(read_committed, database.url)
    assert found == {"said": ["placed", "placed"], "begun": 2}
    assert owed(database) == 109_000  # of a limit of 100 000


@pytest.mark.claim("architecture/transactions-isolate", verdict="depends")
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
