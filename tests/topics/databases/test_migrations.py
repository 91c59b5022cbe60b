"""Migrations: what is rewritten, who waits, and what is left when one fails."""

import pytest

MIGRATE = """
import { migrate } from './databases/migrate.mjs';
import { migrate as naive } from './databases/migrate.naive.mjs';
const deps = { url, logger: quiet, lockMs: 50, pauseMs: 20, tries: 200 };
const [reader, asker] = [await client(), await client()];
// who waits for a lock, by the first words of the statement
const waiting = `SELECT count(*) > 0 ${ours} AND wait_event_type = 'Lock'
  AND query LIKE`;
const columns = (table = 'orders') => rows(`SELECT column_name AS name
  FROM information_schema.columns WHERE table_name = $1`, [table])
  .then((all) => all.map(({ name }) => name));
"""


@pytest.mark.claim("databases/adding-a-column-is-instant", verdict="depends")
def test_a_constant_default_rewrites_nothing_and_a_volatile_one_the_table(database):
    seen = database.told("""
    await rows(`INSERT INTO orders (id, customer, items, total)
      SELECT 'ord_' || n, 'ann', '[]', 1 FROM generate_series(1, 1000) AS n`);
    const file = () => value("SELECT pg_relation_filenode('orders')");
    const said = {};
    const columns = {
      nothing: 'a integer', constant: "b text NOT NULL DEFAULT 'web'",
      stable: 'c timestamptz DEFAULT now()', volatile: 'd uuid DEFAULT gen_random_uuid()',
      type: null,
    };
    for (const [name, column] of Object.entries(columns)) {
      const before = await file();
      await rows(`ALTER TABLE orders ${column
        ? `ADD COLUMN ${column}` : 'ALTER COLUMN total TYPE bigint'}`);
      said[name] = (await file()) === before ? 'kept' : 'rewritten';
    }
    say(said);
    """)
    assert seen == {
        "nothing": "kept", "constant": "kept", "stable": "kept",
        "volatile": "rewritten", "type": "rewritten",
    }  # fmt: skip


@pytest.mark.claim("databases/adding-a-column-is-instant", verdict="depends")
def test_readers_wait_behind_a_migration_that_waits_and_not_behind_one_that_gives_up(
    database,
):
    seen = database.told(
        MIGRATE
        + """
    const steps = [{ id: 'a', sql: 'ALTER TABLE orders ADD COLUMN a integer' }];
    const read = () => asker.query('SELECT count(*) FROM orders');
    const during = async (act) => {
      await reader.query('BEGIN; SELECT count(*) FROM orders'); // a long report
      let done = false;
      const migrated = act().then(() => { done = true; });
      await until(`${waiting} 'ALTER%'`);
      let answered = 0;
      const asked = read().then(() => { answered += 1; });
      const queued = value(`${waiting} 'SELECT count%'`);
      return { migrated, asked, queued, now: () => ({ done, answered }) };
    };
    const said = {};
    const bad = await during(() => naive({ url, steps }));
    await until(`${waiting} 'SELECT count%'`); // the reader waits for the waiting ALTER
    const blockers = `SELECT count(*)::int ${ours} AND query LIKE 'SELECT count%'
      AND EXISTS (SELECT FROM pg_stat_activity AS b WHERE b.pid = ANY(pg_blocking_pids(
        pg_stat_activity.pid)) AND b.query LIKE 'ALTER%')`;
    said.naive = { ...bad.now(), blocked: await value(blockers) };
    await reader.query('COMMIT');
    await Promise.all([bad.migrated, bad.asked]);
    await rows('ALTER TABLE orders DROP COLUMN a');
    const good = await during(() => migrate({ ...deps, steps }));
    await good.asked; // while the report goes on
    for (let n = 0; n < 20; n += 1) await read();
    said.ours = good.now();
    await reader.query('COMMIT');
    await good.migrated;
    said.columns = (await columns()).includes('a');
    say(said);
    """
    )
    assert seen == {
        "naive": {"done": False, "answered": 0, "blocked": 1},
        "ours": {"done": False, "answered": 1},
        "columns": True,
    }


@pytest.mark.claim("databases/concurrent-index-lets-writes-through", verdict="right")
def test_writers_wait_for_an_index_unless_it_is_made_concurrently(database):
    seen = database.told(
        MIGRATE
        + """
    const [builder, writer] = [await client(), await client()];
    const insert = (one) => one.query(`INSERT INTO orders (id, customer, items, total)
      VALUES (gen_random_uuid(), 'ann', '[]', 1)`);
    const during = async (text, id) => {
      await writer.query('BEGIN');
      await insert(writer);
      const built = builder.query(text);
      await until(`${waiting} 'CREATE INDEX%'`);
      let answered = 0;
      const inserted = insert(asker).then(() => { answered += 1; });
      await Promise.race([inserted, until(`${waiting} 'INSERT%'`)]);
      const said = answered;
      await writer.query('COMMIT');
      await Promise.all([built, inserted]);
      await rows('DROP INDEX tried');
      return said;
    };
    say([await during('CREATE INDEX tried ON orders (total)'),
      await during('CREATE INDEX CONCURRENTLY tried ON orders (total)')]);
    """
    )
    assert seen == [0, 1]


@pytest.mark.claim("databases/concurrent-index-lets-writes-through", verdict="right")
def test_an_index_that_failed_half_way_is_there_and_invalid_until_it_is_made_again(
    database,
):
    seen = database.told(
        MIGRATE
        + """
    await rows(`INSERT INTO orders (id, customer, items, total)
      VALUES ('ord_1', 'ann', '[]', 1), ('ord_2', 'bob', '[]', 1)`);
    const sql = 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS one_total ON orders (total)';
    const steps = [{ id: 'i', index: 'one_total', sql }];
    const valid = () => value(`SELECT indisvalid FROM pg_index
      WHERE indexrelid = 'one_total'::regclass`);
    const said = [await outcome(migrate({ ...deps, steps })), await valid()];
    await rows("DELETE FROM orders WHERE id = 'ord_2'");
    await rows(sql); // "it is there"
    said.push(await valid());
    said.push(await migrate({ ...deps, steps }), await valid());
    said.push(await migrate({ ...deps, steps }));
    // a transaction it does not stand
    said.push(await outcome(transaction(db, ({ query }) =>
      query('CREATE INDEX CONCURRENTLY other ON orders (total)'))));
    say(said);
    """
    )
    assert seen == ["23505", False, False, ["i"], True, [], "25001"]


@pytest.mark.claim("databases/half-a-migration", verdict="depends")
def test_a_step_that_fails_is_half_done_or_not_at_all(database):
    seen = database.told(
        MIGRATE
        + """
    const sql = 'ALTER TABLE orders ADD COLUMN a integer; ALTER TABLE orders ADD COLUMN total integer';
    const steps = [{ id: 'first', sql: 'CREATE TABLE t (n integer)' }, { id: 'a', sql }];
    const mended = [steps[0], { id: 'a', sql: sql.split(';')[0] }];
    const said = { ours: [await outcome(migrate({ ...deps, steps }))] };
    said.ours.push((await columns()).includes('a'), (await columns('t')).length);
    said.ours.push(await outcome(migrate({ ...deps, steps: mended })));
    said.ours.push((await columns()).includes('a'));
    await rows('ALTER TABLE orders DROP COLUMN a');
    await rows('DROP TABLE t');
    said.naive = [await outcome(naive({ url, steps })), (await columns()).includes('a')];
    said.naive.push(await outcome(naive({ url, steps: [mended[1]] })));
    say(said);
    """
    )
    # 42701: there is a column of that name
    assert seen == {
        "ours": ["42701", False, 1, ["a"], True],
        "naive": ["42701", True, "42701"],
    }


def test_several_that_start_at_once_migrate_once_and_a_lock_is_waited_for_in_turns(
    database,
):
    seen = database.told(
        MIGRATE
        + """
    const steps = times(5, (n) => ({ id: `s${n}`, sql: `CREATE TABLE t${n} (n integer)` }));
    const all = await Promise.all(times(4, () => migrate({ ...deps, steps })));
    const said = { all: all.map((one) => one.length).toSorted() };
    // one that never gets its lock gives up
    await reader.query('BEGIN; SELECT FROM orders');
    const more = [{ id: 'm', sql: 'ALTER TABLE orders ADD COLUMN m integer' }];
    said.late = await outcome(migrate({ ...deps, steps: more, tries: 2, lockMs: 20 }));
    await reader.query('COMMIT');
    said.wrong = await outcome(migrate({ ...deps, steps: [{ id: 'w', index: 'a; b', sql: '' }] }));
    await until(`SELECT count(*) = 2 ${ours}`); // nothing of it is left
    said.text = await outcome(migrate({ ...deps, steps, lockMs: '50' }));
    said.signal = await outcome(migrate({ ...deps, steps: more, signal: AbortSignal.abort('no') }));
    say(said);
    """
    )
    assert seen["all"] == [0, 0, 0, 5]
    assert seen["late"] == "55P03" and seen["wrong"] == "index: a; b?"
    assert "lockMs" in seen["text"] and seen["signal"] == "no"


def test_old_and_new_code_live_together_while_a_column_is_renamed_in_steps(database):
    """Expand, fill, contract: at each step what the old and the new code write is read
    by both."""
    seen = database.told(
        MIGRATE
        + """
    const old = (n) => rows(`INSERT INTO orders (id, customer, items, total, note)
      VALUES ('old_${n}', 'ann', '[]', 1, 'old ${n}') RETURNING note`);
    const now = (n) => rows(`INSERT INTO orders (id, customer, items, total, remark)
      VALUES ('new_${n}', 'ann', '[]', 1, 'new ${n}') RETURNING remark`);
    const steps = [
      { id: '1-expand', sql: `ALTER TABLE orders ADD COLUMN remark text;
        CREATE FUNCTION keep_both() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          NEW.remark := coalesce(NEW.remark, NEW.note);
          NEW.note := coalesce(NEW.note, NEW.remark);
          RETURN NEW;
        END $$;
        CREATE TRIGGER keep_both BEFORE INSERT OR UPDATE ON orders
          FOR EACH ROW EXECUTE FUNCTION keep_both()` },
      { id: '2-fill', sql: 'UPDATE orders SET remark = note WHERE remark IS NULL' },
    ];
    const contract = { id: '3-contract', sql: `DROP TRIGGER keep_both ON orders;
      DROP FUNCTION keep_both(); ALTER TABLE orders DROP COLUMN note` };
    await old(0);
    await migrate({ ...deps, steps });
    await old(1);
    await now(1);
    const both = await rows('SELECT note, remark FROM orders ORDER BY id');
    await migrate({ ...deps, steps: [...steps, contract] });
    await now(2);
    say([both, await outcome(old(2)), await value('SELECT count(remark)::int FROM orders')]);
    """
    )
    both, late, there = seen
    assert [(one["note"], one["remark"]) for one in both] == [
        ("new 1", "new 1"), ("old 0", "old 0"), ("old 1", "old 1"),
    ]  # fmt: skip
    assert (late, there) == ("42703", 4)
