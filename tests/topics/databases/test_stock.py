"""Two at once: lost updates, locks, write skew, and what is repeated."""

import pytest

SOLD = """
import {{ createStock }} from './databases/{module}';
const big = createPool({{ url, limits: {{ waiting: 200, acquireMs: 15_000 }},
  logger: quiet }});
await rows("INSERT INTO products VALUES ('tea', 900, 50)");
let retries = 0;
const retried = () => {{ retries += 1; }};
const stock = createStock({{ db: big, how: '{how}', tries: 500, retried }});
const ended = await Promise.all(times(100, () => outcome(stock.take('tea', 1))));
await big.end();
const left = await value("SELECT stock FROM products WHERE sku = 'tea'");
say({{ sold: ended.filter((one) => one === 'ok').length, left, retries,
  refused: ended.filter((one) => one === 409).length }});
"""


@pytest.mark.claim("databases/transaction-prevents-lost-updates", verdict="wrong")
def test_a_hundred_that_read_and_then_write_sell_more_than_there_is(database):
    seen = database.told(SOLD.format(module="stock.naive.mjs", how=""))
    assert seen["sold"] > 50


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            "conditional",
            marks=pytest.mark.claim(
                "databases/conditional-update-is-enough", verdict="right"
            ),
        ),
        pytest.param(
            "locked",
            marks=pytest.mark.claim(
                "databases/for-update-prevents-overselling", verdict="right"
            ),
        ),
        "versioned",
        "serializable",
        "repeatable read",
    ],
)
def test_a_hundred_buyers_get_the_fifty_that_there_are(how, database):
    seen = database.told(SOLD.format(module="stock.mjs", how=how))
    retries = seen.pop("retries")
    assert seen == {"sold": 50, "left": 0, "refused": 50}
    assert (retries == 0) == (how in ("conditional", "locked"))


# two transactions on connections of their own, statement by statement
TWO = """
const [a, b] = [await client(), await client()];
await rows("INSERT INTO products VALUES ('tea', 900, 50)");
const both = async (text, values) => [await outcome(a.query(text, values).then(() => 'ok')),
  await outcome(b.query(text, values).then(() => 'ok'))];
"""


@pytest.mark.claim("databases/transaction-prevents-lost-updates", verdict="wrong")
def test_two_transactions_that_read_fifty_both_write_forty_nine(database):
    seen = database.told(
        TWO
        + """
    const take = async (level) => {
      await rows('UPDATE products SET stock = 50');
      await both(`BEGIN ISOLATION LEVEL ${level}`);
      await both('SELECT stock FROM products');
      const write = 'UPDATE products SET stock = 49';
      const first = await outcome(a.query(write).then(() => 'ok'));
      const second = outcome(b.query(write).then(() => 'ok'));
      await a.query('COMMIT');
      const said = [first, await second];
      await b.query('COMMIT');
      return [...said, await value('SELECT stock FROM products')];
    };
    say([await take('READ COMMITTED'), await take('REPEATABLE READ'),
      await take('SERIALIZABLE')]);
    """
    )
    assert seen == [["ok", "ok", 49], ["ok", "40001", 49], ["ok", "40001", 49]]


@pytest.mark.claim("databases/conditional-update-is-enough", verdict="right")
def test_a_conditional_update_that_waited_looks_at_the_row_again(database):
    seen = database.told(
        TWO
        + """
    await rows('UPDATE products SET stock = 1');
    const text = 'UPDATE products SET stock = stock - 1 WHERE stock >= 1';
    await both('BEGIN');
    const first = (await a.query(text)).rowCount;
    const second = b.query(text);
    await until(`SELECT count(*) = 1 ${ours} AND wait_event_type = 'Lock'`);
    await a.query('COMMIT');
    const said = [first, (await second).rowCount];
    await b.query('COMMIT');
    say([...said, await value('SELECT stock FROM products')]);
    """
    )
    assert seen == [1, 0, 0]


@pytest.mark.claim("databases/for-update-prevents-overselling", verdict="right")
def test_who_selects_for_update_second_reads_what_the_first_one_wrote(database):
    seen = database.told(
        TWO
        + """
    const text = 'SELECT stock FROM products';
    await both('BEGIN');
    await a.query(`${text} FOR UPDATE`);
    const waits = b.query(`${text} FOR UPDATE`);
    await until(`SELECT count(*) = 1 ${ours} AND wait_event_type = 'Lock'`);
    await a.query('UPDATE products SET stock = 49');
    const plain = await value(text); // a reader that does not ask for it does not wait
    await a.query('COMMIT');
    const said = [plain, (await waits).rows[0].stock];
    await b.query('COMMIT');
    say(said);
    """
    )
    assert seen == [50, 49]


SKEW = """
await rows('CREATE TABLE doctors (id text PRIMARY KEY, on_call boolean NOT NULL)');
const leave = async (isolation) => {
  await rows('DELETE FROM doctors');
  await rows("INSERT INTO doctors VALUES ('ann', true), ('bob', true)");
  let left = 2;
  const both = gate(); // both have looked before one writes
  const one = (id) => transaction(db, async ({ query }) => {
    const text = 'SELECT count(*) AS there FROM doctors WHERE on_call';
    const [{ there }] = (await query(text)).rows;
    if ((left -= 1) === 0) both.open();
    if (left >= 0) await both.opened;
    if (there < 2) throw new Error('somebody must stay');
    await query('UPDATE doctors SET on_call = false WHERE id = $1', [id]);
  }, { isolation, retried: () => { retries += 1; } });
  let retries = 0;
  const said = await Promise.all(['ann', 'bob'].map((id) => outcome(one(id))));
  const there = await value('SELECT count(*)::int FROM doctors WHERE on_call');
  return { said: said.toSorted(), there, retries };
};
"""


@pytest.mark.claim("databases/repeatable-read-prevents-write-skew", verdict="wrong")
def test_two_doctors_leave_at_once_unless_it_is_serializable(database):
    seen = database.told(
        SKEW
        + """
    say([await leave('repeatable read'), await leave('serializable')]);
    """
    )
    assert seen == [
        {"said": ["ok", "ok"], "there": 0, "retries": 0},
        {"said": ["ok", "somebody must stay"], "there": 1, "retries": 1},
    ]


@pytest.mark.claim("databases/serializable-without-retry", verdict="wrong")
def test_serializable_refuses_who_comes_second_although_there_is_enough(database):
    seen = database.told("""
    await rows("INSERT INTO products VALUES ('tea', 900, 50)");
    const sell = async (tries) => {
      let [left, retries] = [2, 0];
      const both = gate();
      const take = () => transaction(db, async ({ query }) => {
        const [{ stock }] = (await query('SELECT stock FROM products')).rows;
        if ((left -= 1) === 0) both.open();
        if (left >= 0) await both.opened;
        await query('UPDATE products SET stock = $1', [stock - 1]);
      }, { isolation: 'serializable', tries, retried: () => { retries += 1; } });
      const said = await Promise.all(times(2, () => outcome(take())));
      return [said.toSorted(), retries, await value('SELECT stock FROM products')];
    };
    say([await sell(1), await sell(5)]);
    """)
    assert seen == [[["40001", "ok"], 0, 49], [["ok", "ok"], 1, 47]]


@pytest.mark.claim("databases/serializable-without-retry", verdict="wrong")
def test_a_statement_alone_cannot_be_repeated_in_a_transaction_that_failed(database):
    seen = database.told(
        TWO
        + """
    await both('BEGIN ISOLATION LEVEL SERIALIZABLE');
    await both('SELECT stock FROM products');
    await a.query('UPDATE products SET stock = 49');
    const second = b.query('UPDATE products SET stock = 49');
    const failed = outcome(second);
    await a.query('COMMIT');
    const said = [await failed, await outcome(b.query('UPDATE products SET stock = 49'))];
    said.push((await b.query('COMMIT')).command);
    say(said);
    """
    )
    assert seen == ["40001", "25P02", "ROLLBACK"]


ACCOUNTS = """
await rows("INSERT INTO accounts VALUES ('ann', 1000), ('bob', 1000)");
const sum = () => value('SELECT sum(cents)::int FROM accounts');
"""


@pytest.mark.claim("databases/locks-in-one-order", verdict="right")
def test_two_transfers_against_each_other_deadlock_by_the_order_of_arguments(database):
    seen = database.told(
        ACCOUNTS
        + """
    import { createTransfer } from './databases/transfer.naive.mjs';
    const transfer = createTransfer({ db });
    let left = 2;
    const both = gate();
    const between = () => { if ((left -= 1) === 0) both.open(); return both.opened; };
    const said = await Promise.all([['ann', 'bob'], ['bob', 'ann']].map(([from, to]) =>
      outcome(transfer({ from, to, cents: 1 }, { between }))));
    say([said.toSorted(), await sum()]);
    """
    )
    assert seen == [["40P01", "ok"], 2000]


@pytest.mark.claim("databases/locks-in-one-order", verdict="right")
def test_two_hundred_transfers_in_one_order_of_locks_never_deadlock(database):
    seen = database.told(
        ACCOUNTS
        + """
    import { createTransfer } from './databases/transfer.mjs';
    let retries = 0;
    const big = createPool({ url, limits: { waiting: 300, acquireMs: 15_000 } });
    const transfer = createTransfer({ db: big, retried: () => { retries += 1; } });
    const ends = await Promise.all(times(200, (n) => {
      const [from, to] = n % 2 ? ['ann', 'bob'] : ['bob', 'ann'];
      return outcome(transfer({ from, to, cents: 1 }));
    }));
    const said = [];
    for (const one of [{ cents: 0 }, { cents: 5000 }, { to: 'nobody' }, { to: 'ann' }]) {
      said.push(await outcome(transfer({ from: 'ann', to: 'bob', cents: 1, ...one })));
    }
    await big.end();
    say([new Set(ends).size, ends[0], retries, await sum(), said]);
    """
    )
    assert seen == [1, "ok", 0, 2000, [422, 409, 404, 422]]


@pytest.mark.claim("databases/look-before-you-insert", verdict="wrong")
def test_two_that_look_first_both_insert_and_a_unique_index_lets_one_in(database):
    seen = database.told("""
    import { statusOf } from './databases/errors.mjs';
    const [a, b] = [await client(), await client()];
    await rows('CREATE TABLE users (email text)');
    const register = async () => {
      for (const one of [a, b]) {
        await one.query('BEGIN');
        const found = await one.query("SELECT FROM users WHERE email = 'ann@shop.test'");
        if (found.rowCount > 0) throw new Error('there is one');
      }
      const said = [];
      for (const one of [a, b]) {
        const insert = one.query("INSERT INTO users VALUES ('ann@shop.test')");
        said.push(await insert.then(() => 201, statusOf));
        await one.query('COMMIT');
      }
      return [...said, await value('SELECT count(*)::int FROM users')];
    };
    const without = await register();
    await rows('DELETE FROM users');
    await rows('CREATE UNIQUE INDEX one_each ON users (email)');
    say([without, await register()]);
    """)
    assert seen == [[201, 201, 2], [201, 409, 1]]


def test_a_transaction_knows_its_isolation_and_what_failed_in_it(database):
    seen = database.told("""
    const level = async ({ query }) =>
      (await query('SHOW transaction_isolation')).rows[0].transaction_isolation;
    const swallowed = async ({ query }) => {
      await query("INSERT INTO accounts VALUES ('ann', 1)");
      await query("INSERT INTO accounts VALUES ('ann', 1)").catch(() => {});
    };
    const said = [];
    for (const isolation of ['read committed', 'repeatable read', 'serializable'])
      said.push(await transaction(db, level, { isolation }));
    said.push(await outcome(transaction(db, level, { isolation: 'x; DROP TABLE y' })));
    said.push(await outcome(transaction(db, level, { tries: '2' })));
    said.push(await outcome(transaction(db, swallowed)));
    said.push(await value('SELECT count(*)::int FROM accounts'));
    // it began again, although who counts fails
    let tries = 0;
    const fails = async () => { tries += 1; throw Object.assign(new Error('a'), { code: '40001' }); };
    const retried = async () => { throw new Error('boom'); };
    said.push(await outcome(transaction(db, fails, { tries: 3, retried })), tries);
    say(said);
    """)
    assert seen[:3] == ["read committed", "repeatable read", "serializable"]
    assert "one of" in seen[3] and "tries" in seen[4]
    assert seen[5:] == ["rolled back: a query of it had failed", 0, "40001", 3]


def test_a_quantity_is_a_whole_number_and_a_way_is_known(database):
    seen = database.told("""
    import { createStock } from './databases/stock.mjs';
    const stock = createStock({ db });
    const wrong = [1.5, '1', -1, 0, NaN, undefined];
    const said = await Promise.all(wrong.map((one) => outcome(stock.take('tea', one))));
    try { createStock({ db, how: 'somehow' }); } catch (error) { said.push(error.name); }
    say(said);
    """)
    assert seen == [422] * 6 + ["TypeError"]


@pytest.mark.claim("databases/locks-in-one-order", verdict="right")
def test_a_transfer_locks_the_lower_id_first_whatever_lies_first_in_the_table(database):
    seen = database.told("""
    import { createTransfer } from './databases/transfer.mjs';
    await rows("INSERT INTO accounts VALUES ('bob', 10), ('ann', 10)");
    const transfer = createTransfer({ db });
    const holder = await client();
    const said = [];
    for (const [from, to] of [['ann', 'bob'], ['bob', 'ann']]) {
      await holder.query("BEGIN; SELECT FROM accounts WHERE id = 'ann' FOR UPDATE");
      const paid = transfer({ from, to, cents: 1 });
      await until(`SELECT count(*) = 1 ${ours} AND wait_event_type = 'Lock'`);
      const free = "SELECT FROM accounts WHERE id = 'bob' FOR UPDATE NOWAIT";
      said.push(await outcome(other.query(free).then(() => 'free')));
      await holder.query('COMMIT');
      await paid;
    }
    say(said);
    """)
    assert seen == ["free", "free"]
