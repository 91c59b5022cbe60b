"""What queries give and cost: counts, plan nodes, buffers, memory, types."""

import json

import httpx
import pytest

from lab.run import node, process, services

PLAN = """
const plan = async (text, values) => {
  const asked = `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`;
  const [{ Plan }] = await value(asked, values);
  const nodes = [];
  const walk = (one) => {
    nodes.push(one['Node Type']);
    for (const next of one.Plans ?? []) walk(next);
  };
  walk(Plan);
  const buffers = Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
  return { nodes, buffers, rows: Plan['Actual Rows'] };
};
"""

ORM = """
import { createRequire } from 'node:module';
const { Sequelize, DataTypes } = createRequire(process.cwd() + '/')('sequelize');
const queries = [];
const logging = (text) => queries.push(text);
const orm = new Sequelize(url, { dialect: 'postgres', logging });
open.push({ end: () => orm.close() });
const plain = { timestamps: false };
const Customer = orm.define('customer', { name: DataTypes.TEXT }, plain);
const Parcel = orm.define('parcel', { note: DataTypes.TEXT }, plain);
Customer.hasMany(Parcel);
await orm.sync();
const counted = async (act) => {
  queries.length = 0;
  const names = await act();
  return [queries.length, names.length];
};
const lazily = async () => {
  const notes = [];
  for (const customer of await Customer.findAll())
    for (const { note } of await customer.getParcels()) notes.push(note);
  return notes;
};
const eagerly = async (include) => {
  const all = await Customer.findAll({ include });
  return all.flatMap(({ parcels }) => parcels.map(({ note }) => note));
};
"""


@pytest.mark.claim("databases/orm-avoids-n-plus-one", verdict="wrong")
def test_an_orm_asks_once_more_for_each_customer_unless_it_is_told(database):
    seen = database.told(
        ORM
        + """
    import { createLoader } from './databases/loader.mjs';
    const said = [];
    let made = 0;
    for (const n of [1, 10, 50]) {
      for (; made < n; made += 1) {
        const { id } = await Customer.create({ name: `c${made}` });
        await Parcel.bulkCreate(times(2, () => ({ note: 'x', customerId: id })));
      }
      said.push([
        await counted(lazily),
        await counted(() => eagerly(Parcel)),
        await counted(() => eagerly([{ model: Parcel, separate: true }])),
      ]);
    }
    // by hand: a loader that collects the keys
    let asked = 0;
    const load = async (ids) => {
      asked += 1;
      const text = 'SELECT * FROM parcels WHERE "customerId" = ANY($1)';
      return Map.groupBy((await db.query(text, [ids])).rows, (one) => one.customerId);
    };
    const get = createLoader({ load });
    const customers = await rows('SELECT id FROM customers');
    const found = await Promise.all(customers.map(({ id }) => get(id)));
    say({ said, asked, found: found.flat().length });
    """
    )
    assert seen["said"] == [[[1 + n, 2 * n], [1, 2 * n], [2, 2 * n]] for n in (1, 10, 50)]
    assert (seen["asked"], seen["found"]) == (1, 100)


def test_a_loader_asks_in_batches_keeps_little_and_forgets_what_failed():
    seen = node.printed("""
    import { createLoader } from './databases/loader.mjs';
    const outcome = (promise) => promise.then((v) => v ?? null, (error) => error.message);
    const asked = [];
    const alive = setInterval(() => {}, 1_000); // as a server would
    let mood = async (keys) => new Map(keys.filter((k) => k < 90).map((k) => [k, k * 2]));
    const load = (keys, given) => { asked.push(keys.length); return mood(keys, given); };
    const get = createLoader({ load, most: 40, keys: 50, mostMs: 100 });
    const some = await Promise.all(Array.from({ length: 100 }, (_, n) => get(n)));
    const said = [asked.splice(0), some[7], some[95] ?? null];
    await Promise.all([get(99), get(99), get(98)]); // kept
    said.push(asked.splice(0));
    await get(0); // no longer
    said.push(asked.splice(0));
    const polite = mood;
    for (mood of [() => { throw new Error('boom'); }, () => new Promise(() => {})])
      said.push(await outcome(get(1)));
    mood = polite;
    said.push(await get(1));
    clearInterval(alive);
    console.log(JSON.stringify(said));
    """)
    late = "The operation was aborted due to timeout"
    assert seen == f'[[40,40,20],14,null,[],[1],"boom","{late}",2]\n'


PEOPLE = (
    PLAN
    + """
await rows(`CREATE TABLE people AS SELECT n AS id, 'Person' || n || '@shop.test' AS email,
  n % 1000 AS city, CASE WHEN n % 100 = 0 THEN 'open' ELSE 'shipped' END AS status,
  now() - n * interval '1 minute' AS at, repeat('x', 80) AS more
  FROM generate_series(1, 50000) AS n`);
const index = async (text) => {
  await rows(`CREATE INDEX tried ON people (${text})`);
  await rows('VACUUM ANALYZE people');
};
const drop = () => rows('DROP INDEX tried');
"""
)


@pytest.mark.claim("databases/index-makes-it-fast", verdict="depends")
def test_an_index_is_used_for_its_expression_its_first_column_and_few_rows(database):
    seen = database.told(
        PEOPLE
        + """
    const said = {};
    const lower = "SELECT id FROM people WHERE lower(email) = 'person7@shop.test'";
    await index('email');
    said.function = await plan(lower);
    await drop();
    await index('lower(email)');
    said.expression = await plan(lower);
    await drop();
    const city = 'SELECT more FROM people WHERE city = 7';
    await index('at, city');
    said.second = await plan(city);
    await drop();
    await index('city, at');
    said.first = await plan(city);
    await drop();
    await index('status');
    const status = 'SELECT more FROM people WHERE status = ';
    said.many = await plan(`${status} 'shipped'`);
    said.few = await plan(`${status} 'open'`);
    said.size = (await rows("SELECT relpages FROM pg_class WHERE relname = 'people'"))[0].relpages;
    say(said);
    """
    )
    size = seen["size"]
    for kind in ("function", "many"):
        assert seen[kind]["nodes"] == ["Seq Scan"], (kind, seen[kind])
        assert seen[kind]["buffers"] >= size
    # the index is used, and read from end to end
    assert seen["second"]["buffers"] > 3 * seen["first"]["buffers"]
    for kind in ("expression", "first", "few"):
        assert any("Index" in one for one in seen[kind]["nodes"]), (kind, seen[kind])
    assert seen["expression"]["buffers"] < 10
    assert seen["first"]["rows"] == 50 and seen["first"]["buffers"] < size / 5
    # every page has an open order, so also that index saves little reading
    assert seen["few"]["rows"] == 500 and seen["few"]["buffers"] > size / 4


ORDERS = """
const order = (n, at = n) => rows(`INSERT INTO orders (id, customer, items, total, created_at)
  VALUES ($1, 'ann', '[]', $2, '2026-01-01'::timestamptz + $3 * interval '1 microsecond')`,
  [`ord_${String(n).padStart(3, '0')}`, n % 7, at]);
const ids = (page) => page.map(({ id }) => Number(id.slice(4)));
"""


@pytest.mark.claim("databases/offset-pages-are-stable", verdict="wrong")
def test_pages_by_offset_repeat_and_skip_and_pages_by_key_do_not(database):
    seen = database.told(
        ORDERS
        + """
    import { createList as createNaive } from './databases/list.naive.mjs';
    import { createList } from './databases/list.mjs';
    const [naive, list] = [createNaive({ db }), createList({ db })];
    const asked = { customer: 'ann', limit: 5 };
    const read = async (between) => {
      await rows('DELETE FROM orders');
      for (let n = 1; n <= 10; n += 1) await order(n);
      const a = ids(await naive({ ...asked, page: 0 }));
      const { items, next } = await list(asked);
      await between();
      a.push(...ids(await naive({ ...asked, page: 1 })));
      const second = await list({ ...asked, after: next });
      return { naive: a, key: [...ids(items), ...ids(second.items)], next: second.next };
    };
    say([await read(() => order(11)),
      await read(() => rows("DELETE FROM orders WHERE id = 'ord_008'"))]);
    """
    )
    all_of_them = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    inserted, deleted = seen
    assert inserted["key"] == deleted["key"] == all_of_them
    assert inserted["next"] is None
    assert inserted["naive"] == [10, 9, 8, 7, 6, 6, 5, 4, 3, 2]  # 6 twice, 1 never
    assert deleted["naive"] == [10, 9, 8, 7, 6, 4, 3, 2, 1]  # 5 never


@pytest.mark.claim("databases/offset-pages-are-stable", verdict="wrong")
def test_an_offset_reads_what_it_leaves_out(database):
    seen = database.told(
        PLAN
        + """
    await rows(`INSERT INTO orders (id, customer, items, total, created_at)
      SELECT 'ord_' || n, 'ann', '[]', 1, '2026-01-01'::timestamptz + n * interval '1 second'
      FROM generate_series(1, 20000) AS n`);
    await rows('VACUUM ANALYZE orders');
    const start = "SELECT id FROM orders WHERE customer = 'ann'";
    const end = 'ORDER BY created_at DESC, id DESC LIMIT 20';
    const at = "(created_at, id) < ('2026-01-01'::timestamptz + interval '1000 s', 'ord_1000')";
    say([await plan(`${start} ${end}`), await plan(`${start} ${end} OFFSET 19000`),
      await plan(`${start} AND ${at} ${end}`)]);
    """
    )
    first, offset, key = (one["buffers"] for one in seen)
    assert offset > 20 * first
    assert key < 3 * first + 10


def test_a_page_by_key_keeps_microseconds_and_believes_no_cursor(database):
    seen = database.told(
        ORDERS
        + """
    import { createList } from './databases/list.mjs';
    import { statusOf } from './databases/errors.mjs';
    const list = createList({ db });
    for (let n = 1; n <= 9; n += 1) await order(n, n % 3); // within one millisecond
    const whole = async (sort) => {
      const all = [];
      let after;
      do {
        const { items, next } = await list({ customer: 'ann', sort, limit: 2, after });
        all.push(...ids(items));
        after = next ?? undefined;
      } while (after);
      return all;
    };
    const { next } = await list({ customer: 'ann', limit: 2 });
    const wrong = [
      { after: next, sort: 'total' }, { after: 'x' }, { after: 7 }, { after: {} }, { after: null },
      { after: Buffer.from('["created","1; DROP","ord_1"]').toString('base64url') },
      { after: Buffer.from('["created",{},[]]').toString('base64url') },
      { sort: 'id; DROP TABLE orders' }, { sort: 'constructor' },
      { limit: 0 }, { limit: 101 }, { limit: '20' }, { limit: NaN },
    ];
    const refused = [];
    for (const one of wrong) refused.push(await outcome(list({ customer: 'ann', ...one })));
    const bob = await list({ customer: 'bob' });
    const odd = Buffer.from('["created","2026-99-99 00:00","ord_1"]').toString('base64url');
    say([await whole('created'), await whole('total'), refused, bob,
      statusOf(await list({ customer: 'ann', after: odd }).catch((error) => error))]);
    """
    )
    by_time, by_total, refused, bob, odd = seen
    assert by_time == [8, 5, 2, 7, 4, 1, 9, 6, 3]
    assert by_total == sorted(range(1, 10), key=lambda n: (n % 7, n), reverse=True)
    assert refused == [400] * 13
    assert bob == {"items": [], "next": None}
    assert odd == 400


@pytest.mark.claim("databases/parameters-stop-injection", verdict="depends")
def test_a_name_is_no_parameter_and_an_order_of_the_clients_tells_a_secret(database):
    seen = database.told(
        ORDERS
        + """
    import { createList as createNaive } from './databases/list.naive.mjs';
    import { createList } from './databases/list.mjs';
    for (let n = 1; n <= 3; n += 1) await order(n);
    await rows("INSERT INTO accounts VALUES ('secret', 4200)");
    const said = {};
    const evil = "x'; DROP TABLE orders; --";
    said.value = (await db.query('SELECT id FROM orders WHERE id = $1', [evil])).rows.length;
    said.table = await outcome(db.query('SELECT * FROM $1', ['orders']));
    const sorted = await db.query('SELECT id FROM orders ORDER BY $1::text DESC', ['id']);
    const right = await db.query('SELECT id FROM orders ORDER BY id DESC');
    said.order = [ids(sorted.rows), ids(right.rows)];
    const ask = (guess) => `(CASE WHEN (SELECT cents FROM accounts WHERE id = 'secret')
      ${guess} THEN 1 ELSE -1 END * right(id, 3)::int)`;
    const naive = createNaive({ db });
    const told = async (guess) => ids(await naive({ customer: 'ann', sort: ask(guess) }))[0] === 3;
    let [least, most, queries] = [0, 65535, 0];
    while (least < most) {
      const middle = (least + most) >> 1;
      queries += 1;
      if (await told(`> ${middle}`)) least = middle + 1;
      else most = middle;
    }
    said.secret = [least, queries];
    said.ours = await outcome(createList({ db })({ customer: 'ann', sort: ask('> 1') }));
    say(said);
    """
    )
    assert seen.pop("order") == [[1, 2, 3], [3, 2, 1]]
    assert seen == {"value": 0, "table": "42601", "secret": [4200, 16], "ours": 400}


TYPES = """
const text = `SELECT count(*) AS count, 1::bigint + 1 AS big, 0.10::numeric AS numeric,
  1::int AS int, 9007199254740993::bigint::text AS text, DATE '2026-03-01' AS day,
  TIMESTAMP '2026-03-01 12:00' AS local FROM generate_series(1, 3)`;
const one = async (pool) => (await pool.query(text)).rows[0];
"""


@pytest.mark.claim("databases/numbers-come-as-numbers", verdict="wrong")
def test_counts_and_amounts_come_as_text_and_days_as_moments(database):
    source = database.script(
        TYPES
        + """
    const row = await one(raw());
    const kinds = Object.entries(row).map(([name, it]) => [name, typeof it]);
    const big = "SELECT 9007199254740993::bigint AS big, '[1e400]'::jsonb AS json";
    const [lost] = (await raw().query(big)).rows;
    say({ kinds: Object.fromEntries(kinds), sum: row.count + 1, day: row.day,
      local: row.local, exact: lost.big, rounded: Number(lost.big).toString() });
    """
    )
    seen = {}
    for zone in ("Asia/Tokyo", "America/New_York"):
        moved = f"process.env.TZ = '{zone}';\n{source}"
        seen[zone] = json.loads(node.printed(moved))
    tokyo, york = seen.values()
    assert tokyo["kinds"] == {
        "count": "string", "big": "string", "numeric": "string", "int": "number",
        "text": "string", "day": "object", "local": "object",
    }  # fmt: skip
    assert tokyo["sum"] == "31"  # three, and one
    assert (tokyo["exact"], tokyo["rounded"]) == ("9007199254740993", "9007199254740992")
    assert tokyo["day"] == "2026-02-28T15:00:00.000Z"
    assert york["day"] == "2026-03-01T05:00:00.000Z"
    assert tokyo["local"] != york["local"]


@pytest.mark.claim("databases/numbers-come-as-numbers", verdict="wrong")
def test_our_types_give_exact_numbers_or_an_error_and_days_as_they_are(database):
    seen = database.told(
        TYPES
        + """
    const row = await one(db);
    const big = await outcome(db.query('SELECT 9007199254740993::bigint AS big'));
    // and nobody else's parsers were changed
    say({ ...row, error: big, again: (await db.query('SELECT 1 AS one')).rows[0].one,
      others: typeof (await other.query('SELECT 1::bigint AS one')).rows[0].one });
    """
    )
    assert seen == {
        "count": 3, "big": 2, "numeric": "0.10", "int": 1, "text": "9007199254740993",
        "day": "2026-03-01", "local": "2026-03-01 12:00:00",
        "error": "9007199254740993 is no safe integer: select it as text",
        "again": 1, "others": "string",
    }  # fmt: skip


EXPORT = """
import { createEach } from '@/databases/export.mjs';
import { createPool } from '@/databases/pool.mjs';
const db = createPool({ url: '@URL', limits: { statementMs: 60_000, silentMs: 60_000 } });
const text = `SELECT n, repeat('x', 1000) AS more FROM generate_series(1, ${process.argv[3]}) AS n`;
let count = 0;
if (process.argv[2] === 'at once') {
  count = (await db.query(text)).rows.length;
} else {
  await createEach({ db })(text, [], (rows) => { count += rows.length; });
}
console.log(count);
await db.end();
"""


@pytest.mark.claim("databases/cursor-bounds-memory", verdict="right")
@pytest.mark.parametrize(
    ("how", "count", "ends"),
    [("at once", 1_000, 0), ("at once", 150_000, -6), ("by cursor", 150_000, 0)],
)
def test_in_a_heap_of_64_mb_a_large_result_is_read_by_cursor_or_not_at_all(
    how, count, ends, tmp_path, database
):
    program = tmp_path / "export.mjs"
    text = EXPORT.replace("@/", f"{node.SNIPPETS.as_uri()}/").replace(
        "@URL", database.url
    )
    program.write_text(text)
    flags = ["--max-old-space-size=64"]
    done = node.run(program, how, str(count), flags=flags, timeout=60, code=None)
    assert done.stdout == ("" if ends else f"{count}\n")
    assert (done.signal == 6 or done.code == 134) == (ends != 0)
    if ends:
        assert "heap out of memory" in done.stderr


@pytest.mark.claim("databases/cursor-bounds-memory", verdict="right")
def test_an_export_ends_when_its_client_goes_or_reads_nothing(shop, database):
    database.sql("""INSERT INTO orders (id, customer, items, total)
      SELECT 'ord_' || n, 'ann', '[]', 1 FROM generate_series(1, 200000) AS n""")
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' "
    busy += f"AND datname = '{database.name}'"
    limits = "limits: { idleMs: 1_000, max: 2 }"
    with shop("shop.mjs", limits) as server, server.client() as client:
        with client.stream("GET", "/orders.ndjson") as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith('{"id":"ord_')
        process.until(lambda: database.server.sql(busy) == "0")
        process.until(lambda: "the client is gone" in server.output())
        # a client that stays and reads nothing is cut off
        with client.stream("GET", "/orders.ndjson") as answer:
            process.until(lambda: "idle-in-transaction timeout" in server.output())
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in answer.iter_lines():
                    pass
        whole = client.get("/orders.ndjson", headers={"X-Customer": "bob"})
        assert (whole.status_code, whole.text) == (200, "")
        assert client.get("/orders").status_code == 200


# --- what a row that is only marked keeps ----------------------------------------------


def test_a_soft_deleted_row_frees_its_name_only_by_a_partial_unique_index(database):
    database.sql("CREATE TABLE users (email text, deleted_at timestamptz)")
    database.sql("INSERT INTO users VALUES ('ann@shop.test', now())")
    database.sql("CREATE UNIQUE INDEX whole ON users (email)")
    again = "INSERT INTO users VALUES ('ann@shop.test', NULL)"
    with pytest.raises(services.ServiceError, match='unique constraint "whole"'):
        database.sql(again)
    database.sql("DROP INDEX whole")
    database.sql("CREATE UNIQUE INDEX living ON users (email) WHERE deleted_at IS NULL")
    database.sql(again)
    with pytest.raises(services.ServiceError, match='unique constraint "living"'):
        database.sql(again)
