"""The pool: what is not given back, what waits, what is lost, what nobody ends."""

import concurrent.futures

import httpx
import pytest

from lab.run import node, process


def attempts(client, count, act):
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: act(client), range(count)))


def code(answer) -> int:
    return answer.status_code


# what the naive app does not: it holds connections that it will never give back
ENDS = "ends: deps.signal.addEventListener('abort', () => process.exit())"


@pytest.mark.claim("databases/pool-releases-by-itself", verdict="wrong")
def test_ten_that_fail_without_finally_leave_nobody_a_connection(shop, database):
    with shop("pool.naive.mjs", ENDS) as server, server.client() as client:
        failed = [code(client.get("/orders/none")) for _ in range(10)]
        assert failed == [500] * 10
        with pytest.raises(httpx.ReadTimeout):
            client.get("/orders/none", timeout=1.5)
        assert code(client.get("/health")) == 200
        idle = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}'"
        assert database.server.sql(f"{idle} AND state = 'idle'") == "10"


@pytest.mark.claim("databases/pool-releases-by-itself", verdict="wrong")
def test_a_hundred_that_fail_in_the_shop_leave_everything_free(shop):
    with shop("shop.mjs") as server, server.client() as client:
        order = {"items": [{"sku": "none", "quantity": 1}]}
        for n in range(100):
            headers = {"Idempotency-Key": f"k{n}"}
            assert code(client.post("/orders", json=order, headers=headers)) == 409
        assert code(client.get("/orders")) == 200


@pytest.mark.claim("databases/pool-releases-by-itself", verdict="wrong")
def test_who_waits_for_a_connection_waits_for_ever_unless_the_pool_was_told(database):
    seen = database.told("""
    const said = [];
    for (const options of [{ max: 1 }, { max: 1, connectionTimeoutMillis: 100 }]) {
      const pool = raw(options);
      const taken = await pool.connect();
      const waits = outcome(pool.connect().then((one) => one.release()));
      said.push(await Promise.race([waits, sleep(1_000, 'still waiting')]));
      taken.release();
      await waits;
    }
    say(said);
    """)
    assert seen == ["still waiting", "timeout exceeded when trying to connect"]


def test_what_fails_or_goes_gives_its_connection_back(database):
    seen = database.told("""
    const one = createPool({ url, limits: { max: 1, acquireMs: 2_000 }, logger: quiet });
    const boom = async () => { throw new Error('boom'); };
    const begun = ({ query }) => query('BEGIN').then(boom);
    const gone = AbortSignal.abort(new Error('gone before'));
    const goes = new AbortController();
    const pid = async () => (await one.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const said = [await outcome(one.use(boom)), await outcome(one.use(begun))];
    // nobody gets a connection with somebody's transaction
    await until(`SELECT count(*) = 0 ${ours} AND state = 'idle in transaction'`);
    said.push(
      await outcome(one.query('SELECT 1', [], { signal: gone })),
    );
    const sleeps = outcome(one.query('SELECT pg_sleep(30)', [], goes));
    const waits = outcome(one.query('SELECT 1', [], goes));
    await until(`SELECT count(*) = 1 ${ours} AND query LIKE '%sleep%'`);
    goes.abort(new Error('gone'));
    said.push(await sleeps, await waits);
    let kept;
    await one.use(async (lent) => { kept = lent; });
    said.push(await outcome(kept.query('SELECT 1')));
    // what nobody waited for is not left to the next one
    const before = await pid();
    await one.use(async ({ query }) => { query('SELECT pg_sleep(30)').catch(() => {}); });
    said.push(before === (await pid()), one.now());
    await one.end();
    say(said);
    """)
    assert seen == [
        *["boom", "boom", "gone before", "gone", "gone"],
        "too late: the connection was given back",
        *[False, {"open": 1, "idle": 1, "waiting": 0}],
    ]


@pytest.mark.claim("databases/bigger-pool-is-faster", verdict="wrong")
def test_two_pools_of_forty_are_more_than_the_server_has(database):
    """The server of these tests has max_connections = 60."""
    seen = database.told("""
    const pools = [raw({ max: 40 }), raw({ max: 40 })];
    const asked = times(80, (n) => outcome(pools[n % 2].query('SELECT pg_sleep(1)')));
    const ended = await Promise.all(asked);
    say({ refused: ended.filter((one) => one === '53300').length, all: ended.length });
    """)
    assert seen["refused"] >= 20 and seen["all"] == 80


@pytest.mark.claim("databases/bigger-pool-is-faster", verdict="wrong")
def test_of_twenty_connections_that_want_one_row_nineteen_wait(database):
    seen = database.told("""
    await rows("INSERT INTO products VALUES ('tea', 900, 50)");
    const pool = raw({ max: 20 });
    const held = gate();
    const buy = async () => {
      const one = await pool.connect();
      await one.query('BEGIN');
      await one.query("UPDATE products SET stock = stock - 1 WHERE sku = 'tea'");
      await held.opened;
      await one.query('COMMIT');
      one.release();
    };
    const all = Promise.all(times(20, buy));
    await until(`SELECT count(*) = 19 ${ours} AND wait_event_type = 'Lock'`);
    const idle = `SELECT count(*)::int ${ours} AND state = 'idle in transaction'`;
    const working = await value(idle);
    held.open();
    await all;
    say({ working, left: await value('SELECT stock FROM products') });
    """)
    assert seen == {"working": 1, "left": 30}


@pytest.mark.claim("databases/promise-all-is-parallel", verdict="wrong")
def test_a_thousand_queries_at_once_run_ten_at_a_time_and_everybody_else_is_last(
    database,
):
    seen = database.told("""
    import { inBatches } from './databases/batches.mjs';
    const ask = 'SELECT pg_backend_pid() AS pid, pg_sleep(0.001)';
    const run = async (batch) => {
      const pool = raw({ max: 10 });
      const pids = new Set();
      let done = 0;
      const one = async () => {
        pids.add((await pool.query(ask)).rows[0].pid);
        done += 1;
      };
      const all = batch(one);
      while (pool.totalCount === 0) await sleep(1);
      const before = { waiting: pool.waitingCount };
      await pool.query('SELECT 1'); // somebody else
      before.done = done;
      await all;
      return { ...before, pids: pids.size };
    };
    say([
      await run((one) => Promise.all(times(1000, one))),
      await run((one) => inBatches(times(1000, Number), one, { atOnce: 5 })),
    ]);
    """)
    at_once, batched = seen
    assert at_once["waiting"] == 990 and at_once["pids"] == 10
    assert at_once["done"] >= 990
    assert batched["waiting"] == 0 and batched["pids"] <= 6
    assert batched["done"] < 100


ROLLED_BACK = """
import { transaction as naive } from './databases/transaction.naive.mjs';
await rows("INSERT INTO accounts VALUES ('ann', 100)");
const cents = () => value("SELECT cents::int FROM accounts WHERE id = 'ann'");
const pool = raw({ max: 2 });
const pay = (query) => query("UPDATE accounts SET cents = 0 WHERE id = 'ann'");
"""


@pytest.mark.claim("databases/begin-through-the-pool", verdict="wrong")
def test_begin_and_rollback_of_a_pool_undo_nothing_once_somebody_else_is_there(database):
    seen = database.told(
        ROLLED_BACK
        + """
    const fails = async (other) => {
      await rows("UPDATE accounts SET cents = 100");
      await outcome(naive(pool, async (tx) => {
        const release = await other();
        await pay(tx.query.bind(tx));
        release();
        throw new Error('no');
      }));
      return cents();
    };
    const nobody = async () => () => {};
    // another request takes a connection: the one that is in the transaction
    const somebody = async () => {
      const one = await pool.connect();
      return () => one.release();
    };
    const said = [await fails(nobody), await fails(somebody)];
    said.push(await naive(pool, async () => 'committed'));
    await rows("UPDATE accounts SET cents = 100");
    await outcome(transaction(db, async ({ query }) => {
      await db.use(async (one) => {
        await one.query('SELECT 1');
        await pay(query);
      });
      throw new Error('no');
    }));
    said.push(await cents());
    say(said);
    """
    )
    assert seen == [100, 0, "committed", 100]


@pytest.mark.claim("databases/begin-through-the-pool", verdict="wrong")
def test_and_the_others_work_is_taken_back(database):
    seen = database.told(
        ROLLED_BACK
        + """
    await outcome(naive(pool, async () => {
      await pool.query("INSERT INTO accounts VALUES ('bob', 5)"); // another request's
      throw new Error('no');
    }));
    say(await value('SELECT count(*)::int FROM accounts'));
    """
    )
    assert seen == 1


@pytest.mark.claim("databases/idle-client-error", verdict="right")
@pytest.mark.parametrize("listens", [True, False])
def test_an_idle_connection_that_is_lost_ends_a_process_in_which_nobody_listens(
    listens, database
):
    made = f"createPool({{ url: '{database.url}', logger: {{ error: told }} }})"
    if not listens:
        made = f"new pg.Pool({{ connectionString: '{database.url}' }})"
    source = f"""
    import pg from 'pg';
    import {{ createPool }} from './databases/pool.mjs';
    const {{ promise, resolve: told }} = Promise.withResolvers();
    const pool = {made};
    const {{ rows }} = await pool.query('SELECT pg_backend_pid() AS pid');
    const other = new pg.Client('{database.url}');
    await other.connect();
    await other.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await promise;
    console.log((await pool.query('SELECT 1 AS one')).rows[0].one);
    await Promise.all([other.end(), pool.end()]);
    """
    done = node.evaluate(source, code=0 if listens else 1)
    assert done.stdout == ("1\n" if listens else "")
    said = "terminating connection due to administrator command"
    assert (said in done.stderr) == (not listens)


LENT = """
import pg from 'pg';
import {{ createPool }} from './databases/pool.mjs';
const pool = {made};
const other = new pg.Client('{url}');
await other.connect();
const lost = async ({{ query }}) => {{
  const {{ pid }} = (await query('SELECT pg_backend_pid() AS pid')).rows[0];
  await other.query('SELECT pg_terminate_backend($1)', [pid]);
  await new Promise((resolve) => setTimeout(resolve, 10_000).unref());
}};
await pool.use(lost).catch(({{ code }}) => console.log(code));
console.log((await pool.query('SELECT 1 AS one')).rows[0].one);
await Promise.all([other.end(), pool.end()]);
"""
NOBODY = """Object.assign(new pg.Pool({{ connectionString: '{url}' }}).on('error', () => {{}}), {{
  use: async (work) => {{
    const client = await pool.connect();
    return work({{ query: client.query.bind(client) }});
  }},
}})"""


@pytest.mark.claim("databases/idle-client-error", verdict="right")
@pytest.mark.parametrize("listens", [True, False])
def test_so_does_one_that_is_lost_while_somebody_has_it_and_asks_nothing(
    listens, database
):
    """A listener on the pool does not help then."""
    made = "createPool({{ url: '{url}' }})" if listens else NOBODY
    source = LENT.format(made=made.format(url=database.url), url=database.url)
    done = node.evaluate(source, code=0 if listens else 1)
    assert done.stdout == ("57P01\n1\n" if listens else "")


@pytest.mark.claim("databases/client-timeout-stops-the-query", verdict="wrong")
def test_query_timeout_leaves_the_query_running_and_statement_timeout_ends_it(database):
    seen = database.told("""
    const sleeping = `SELECT count(*)::int ${ours} AND query LIKE 'SELECT pg_sleep%'
      AND state = 'active'`;
    const said = {};
    for (const limit of ['query_timeout', 'statement_timeout']) {
      const pool = raw({ [limit]: 200 });
      const error = await outcome(pool.query('SELECT pg_sleep(30)'));
      await sleep(300); // the client's connection is closed long since
      said[limit] = [error, await value(sleeping)];
      await rows(`SELECT pg_terminate_backend(pid) ${ours} AND state = 'active'`);
      await until(`SELECT count(*) = 0 ${ours} AND state = 'active'`);
    }
    say(said);
    """)
    assert seen == {
        "query_timeout": ["Query read timeout", 1],
        "statement_timeout": ["57014", 0],
    }


@pytest.mark.claim("databases/failed-query-keeps-its-connection", verdict="wrong")
def test_a_query_that_fails_closes_the_connection_of_pgs_pool_and_not_of_ours(database):
    seen = database.told("""
    const [mine, theirs] = [createPool({ url, logger: quiet }), raw()];
    const fails = [];
    for (const pool of [mine, theirs]) {
      await pool.query('SELECT 1');
      fails.push(await outcome(pool.query('SELECT 1 / 0')));
    }
    const twice = raw();
    const insert = () => twice.query("INSERT INTO accounts VALUES ('ann', 1)");
    await insert();
    fails.push(await outcome(insert()));
    const lent = raw();
    const one = await lent.connect();
    fails.push(await outcome(one.query('SELECT 1 / 0')));
    one.release();
    const said = { ours: mine.now().open, lent: lent.totalCount,
      pg: [theirs.totalCount, twice.totalCount] };
    await mine.end();
    say({ ...said, fails });
    """)
    fails = ["22012", "22012", "23505", "22012"]
    assert seen == {"ours": 1, "pg": [0, 0], "lent": 1, "fails": fails}


@pytest.mark.claim("databases/busy-pool-kills-node", verdict="wrong")
def test_a_pool_that_is_busy_makes_all_wait_or_some_hear_503_and_kills_nobody(
    shop, database
):
    limits = "limits: { max: 2, waiting: 3, acquireMs: 20_000, lockMs: 20_000 }"
    with (
        shop("pool.naive.mjs", ENDS) as naive,
        shop("shop.mjs", limits) as ours,
        naive.client() as slow,
        ours.client() as early,
        concurrent.futures.ThreadPoolExecutor(60) as threads,
    ):
        for client, path in ((slow, "/orders/none"), (early, "/orders")):
            client.get(path)
        database.sql("INSERT INTO orders VALUES ('ord_1', 'ann', '[]', NULL, 'open', 9)")
        with database.locked("orders"):
            waits = [threads.submit(slow.get, "/orders/ord_1") for _ in range(30)]
            told = [threads.submit(early.get, "/orders") for _ in range(30)]
            process.until(lambda: sum(one.done() for one in told) == 25)
            assert [code(one.result()) for one in told if one.done()] == [503] * 25
            assert code(slow.get("/health")) == 200
            assert code(early.get("/live")) == 200
            assert code(early.get("/ready")) == 503
            assert not any(one.done() for one in waits)
        assert [code(one.result()) for one in waits] == [200] * 30
        codes = sorted(code(one.result()) for one in told)
        assert codes == [200] * 5 + [503] * 25
        process.until(lambda: code(early.get("/ready")) == 200)


def test_postgresql_knows_a_pools_limits_and_ends_what_exceeds_them(database):
    seen = database.told("""
    const limits = { max: 1, statementMs: 1_100, lockMs: 120, idleMs: 130 };
    const pool = createPool({ url, limits, logger: quiet });
    const said = {};
    const names = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];
    for (const name of names)
      said[name] = Object.values((await pool.query(`SHOW ${name}`)).rows[0])[0];
    await other.query('BEGIN; LOCK TABLE orders');
    said.lock = await outcome(pool.query('SELECT FROM orders'));
    await other.query('COMMIT');
    said.slow = await outcome(pool.query('SELECT pg_sleep(30)'));
    const idle = transaction(pool, () => new Promise(() => {}), { tries: 1 });
    said.idle = await outcome(idle);
    await pool.end();
    say(said);
    """)
    assert seen == {
        "statement_timeout": "1100ms", "lock_timeout": "120ms",
        "idle_in_transaction_session_timeout": "130ms",
        "lock": "55P03", "slow": "57014", "idle": "25P03",
    }  # fmt: skip
