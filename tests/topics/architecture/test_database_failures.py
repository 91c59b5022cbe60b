"""Connections that are lost, silent or cut, and pools that have limits."""

import concurrent.futures
import threading

import pytest

from lab.run import node, process

from .shared import APPS, POT, TEA, TOPIC, place

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
