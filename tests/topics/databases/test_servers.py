"""What stands between, beside and inside: PgBouncer, a replica, roles and tenants."""

import secrets

import pytest

from lab.run import services


@pytest.fixture
def bounced(database):
    """A database, and PgBouncer before it with one connection and with two."""
    if why := services.missing("pgbouncer"):
        pytest.skip(why)
    ignore = (
        "ignore_startup_parameters = "
        "statement_timeout,lock_timeout,idle_in_transaction_session_timeout"
    )
    with (
        services.pgbouncer(database.url) as one,
        services.pgbouncer(database.url, size=2, settings=ignore) as two,
    ):
        database.one, database.two = one.url, two.url
        yield database


def behind(bounced) -> str:
    return f"const [one, two] = ['{bounced.one}', '{bounced.two}'];\n"


@pytest.mark.claim("databases/pgbouncer-is-invisible", verdict="wrong")
def test_what_a_session_has_is_everybodys_behind_transaction_pooling(bounced):
    seen = bounced.told(
        behind(bounced)
        + """
    const look = async (at) => {
      const [a, b] = [await client(at), await client(at)];
      const ask = async (who, text) => Object.values((await who.query(text)).rows[0])[0];
      await a.query("SET app.tenant = 'ann'");
      const said = { set: await ask(b, "SELECT current_setting('app.tenant', true)") };
      const lock = 'SELECT pg_try_advisory_lock(1)';
      said.lock = [await ask(a, lock), await ask(b, lock)];
      const heard = [];
      a.on('notification', ({ payload }) => heard.push(payload));
      await a.query('LISTEN jobs');
      for (let n = 0; n < 3; n += 1) {
        await other.query("NOTIFY jobs, 'there is one'");
        await b.query('SELECT 1'); // another client, on the same connection
        await a.query('SELECT 1');
      }
      said.heard = heard.length;
      await a.query('SELECT pg_advisory_unlock_all()');
      return said;
    };
    say({ direct: await look(url), behind: await look(one) });
    """
    )
    assert seen["direct"] == {"set": None, "lock": [True, False], "heard": 3}
    assert seen["behind"]["set"] == "ann"
    assert seen["behind"]["lock"] == [True, True]
    assert seen["behind"]["heard"] == 0


@pytest.mark.claim("databases/pgbouncer-is-invisible", verdict="wrong")
def test_what_a_transaction_has_is_its_own_behind_transaction_pooling(bounced):
    seen = bounced.told(
        behind(bounced)
        + """
    const [a, b] = [await client(two), await client(two)];
    const ask = async (who, text) => Object.values((await who.query(text)).rows[0])[0];
    const tenant = "SELECT nullif(current_setting('app.tenant', true), '')";
    await a.query('BEGIN');
    await b.query('BEGIN');
    await a.query("SET LOCAL app.tenant = 'ann'");
    const lock = 'SELECT pg_try_advisory_xact_lock(1)';
    const said = { set: [await ask(a, tenant), await ask(b, tenant)],
      lock: [await ask(a, lock), await ask(b, lock)] };
    await a.query('COMMIT');
    said.after = [await ask(a, tenant), await ask(b, lock)];
    await b.query('COMMIT');
    say(said);
    """
    )
    assert seen == {
        "set": ["ann", None], "lock": [True, False], "after": [None, True],
    }  # fmt: skip


@pytest.mark.claim("databases/pgbouncer-is-invisible", verdict="wrong")
def test_a_pools_limits_are_refused_or_ignored_by_pgbouncer(bounced):
    seen = bounced.told(
        behind(bounced)
        + """
    const refused = await raw({ connectionString: one, statement_timeout: 200 })
      .query('SELECT 1').catch(({ message }) => message);
    const ignored = createPool({ url: two, limits: { statementMs: 200 }, logger: quiet });
    const show = async (query) => (await query('SHOW statement_timeout')).rows[0].statement_timeout;
    const said = { refused, direct: await show(raw({ statement_timeout: 200 })
      .query.bind(raw({ statement_timeout: 200 }))), ignored: await show(ignored.query) };
    // but in a transaction it holds
    said.local = await outcome(transaction(ignored, async ({ query }) => {
      await query('SET LOCAL statement_timeout = 100');
      await query('SELECT pg_sleep(30)');
    }));
    said.gone = await show(ignored.query);
    await ignored.end();
    say(said);
    """
    )
    assert "unsupported startup parameter: statement_timeout" in seen["refused"]
    assert (seen["direct"], seen["ignored"]) == ("200ms", "0")
    assert (seen["local"], seen["gone"]) == ("57014", "0")


@pytest.mark.claim("databases/replicas-are-up-to-date", verdict="wrong")
def test_a_replica_gives_the_past_and_a_place_in_the_log_says_how_long(server, database):
    with services.replica(server) as replica:
        at = replica.url.rpartition("/")[0] + f"/{database.name}"
        seen = database.told(f"""
    import {{ createReads }} from './databases/replicas.mjs';
    const replica = createPool({{ url: '{at}', logger: quiet }});
    const admin = await client('{at}');
    const who = `SELECT (SELECT stock FROM products), pg_is_in_recovery() AS replica`;
    const {{ written, read }} = createReads({{ primary: db, replica, waitMs: 100 }});
    const one = async (place) => Object.values((await read(place, who)).rows[0]);
    await rows("INSERT INTO products VALUES ('tea', 900, 50)");
    await until('SELECT count(*) = 1 FROM pg_stat_replication');
    const start = await written();
    while (!(await one(start))[1]) await sleep(20); // until it has caught up once
    await admin.query('SELECT pg_wal_replay_pause()');
    await rows('UPDATE products SET stock = 49');
    const place = await written();
    const said = {{ old: Object.values((await replica.query(who)).rows[0]),
      early: await one(start), paused: await one(place) }};
    await admin.query('SELECT pg_wal_replay_resume()');
    while (!(await one(place))[1]) await sleep(20);
    said.resumed = await one(place);
    said.write = await outcome(replica.query('UPDATE products SET stock = 1'));
    await admin.end();
    await replica.end();
    said.gone = await one(place); // the replica fails, the primary answers
    said.wrong = await outcome(read(place, 'SELECT nothing'));
    say(said);
    """)
    assert seen == {
        "old": [50, True], "early": [50, True], "paused": [49, False],
        "resumed": [49, True], "write": "25006", "gone": [49, False], "wrong": "42703",
    }  # fmt: skip


TENANTS = """
import { TENANT_SCHEMA, createTenants } from './databases/tenant.mjs';
import { createTenants as createNaive } from './databases/tenant.naive.mjs';
const as = (name) => url.replace('postgres@', `${name}@`);
const roles = async () => {
  for (const role of ['shop_owner', 'shop_app']) {
    await rows(`DO $$ BEGIN CREATE ROLE ${role} LOGIN; EXCEPTION WHEN duplicate_object
      THEN NULL; WHEN unique_violation THEN NULL; END $$`);
  }
};
await roles();
const schema = async (text) => {
  await rows(text);
  await rows('ALTER TABLE invoices OWNER TO shop_owner');
  await rows('GRANT SELECT, INSERT, UPDATE, DELETE ON invoices TO shop_app');
  await rows("INSERT INTO invoices (tenant, cents) VALUES ('ann', 1), ('bob', 2), ('bob', 3)");
};
const count = async (who, tenant) => {
  const one = await client(as(who));
  if (tenant) await one.query("SELECT set_config('app.tenant', $1, false)", [tenant]);
  return Number((await one.query('SELECT count(*) FROM invoices')).rows[0].count);
};
"""


@pytest.mark.claim("databases/row-security-stops-the-owner", verdict="wrong")
def test_the_owner_passes_row_security_until_it_is_forced_and_a_superuser_always(
    database,
):
    seen = database.told(
        TENANTS
        + """
    await schema(TENANT_SCHEMA.replace(/^.*FORCE ROW LEVEL.*$/m, ''));
    const all = async () => {
      const said = {};
      for (const who of ['postgres', 'shop_owner', 'shop_app'])
        said[who] = await count(who, 'ann');
      return said;
    };
    const enabled = await all();
    await rows('ALTER TABLE invoices FORCE ROW LEVEL SECURITY');
    say({ enabled, forced: await all(), nobody: await count('shop_app') });
    """
    )
    assert seen == {
        "enabled": {"postgres": 3, "shop_owner": 3, "shop_app": 1},
        "forced": {"postgres": 3, "shop_owner": 1, "shop_app": 1},
        "nobody": 0,
    }


@pytest.mark.claim("databases/row-security-stops-the-owner", verdict="wrong")
def test_a_session_remembers_the_tenant_for_the_next_request_and_a_transaction_does_not(
    database,
):
    seen = database.told(
        TENANTS
        + """
    await schema(TENANT_SCHEMA);
    const list = ({ query }) => query('SELECT tenant FROM invoices').then((all) => all.rows.length);
    const pool = raw({ connectionString: as('shop_app'), max: 1 });
    const naive = createNaive({ pool });
    await naive('bob', () => 'done');
    const owner = await count('shop_owner', 'ann'); // as the schema is shipped
    const app = createPool({ url: as('shop_app'), limits: { max: 1 }, logger: quiet });
    const asTenant = createTenants({ db: app });
    const said = { owner, naive: (await pool.query('SELECT tenant FROM invoices')).rows.length };
    said.bob = await asTenant('bob', list);
    said.after = await list(app); // who forgets to say it sees nothing
    said.ann = await asTenant('ann', list);
    const steal = "INSERT INTO invoices (tenant, cents) VALUES ('ann', 9)";
    said.insert = await outcome(asTenant('bob', ({ query }) => query(steal)));
    const move = "UPDATE invoices SET tenant = 'ann'";
    said.move = await outcome(asTenant('bob', ({ query }) => query(move)));
    said.own = await asTenant('bob', async ({ query }) => {
      await query('INSERT INTO invoices (cents) VALUES (4)');
      return list({ query });
    });
    said.wrong = [];
    for (const tenant of [undefined, '', "ann'; --", ['ann'], { a: 1 }])
      said.wrong.push(await outcome(asTenant(tenant, list)));
    await app.end();
    say(said);
    """
    )
    assert seen == {
        "owner": 1, "naive": 2, "bob": 2, "after": 0, "ann": 1, "insert": "42501", "move": "42501",
        "own": 3, "wrong": [401] * 5,
    }  # fmt: skip


@pytest.mark.claim("databases/row-security-stops-the-owner", verdict="wrong")
def test_two_tenants_at_once_on_one_pool_never_see_each_other(database):
    seen = database.told(
        TENANTS
        + """
    await schema(TENANT_SCHEMA);
    const app = createPool({ url: as('shop_app'), limits: { max: 3 }, logger: quiet });
    const asTenant = createTenants({ db: app });
    const mixed = await Promise.all(times(60, async (n) => {
      const tenant = n % 2 ? 'ann' : 'bob';
      return asTenant(tenant, async ({ query }) => {
        const { rows: seen } = await query('SELECT tenant FROM invoices');
        return seen.filter((one) => one.tenant !== tenant).length;
      });
    }));
    await app.end();
    say(mixed.reduce((sum, one) => sum + one, 0));
    """
    )
    assert seen == 0


# --- roles ------------------------------------------------------------------------------


def test_a_role_that_may_no_longer_log_in_keeps_its_connections_and_the_other_takes_over(
    database, server
):
    """Two login roles with the rights of one: so credentials change without an outage."""
    role = f"shop_{secrets.token_hex(4)}"
    for statement in (
        f"CREATE ROLE {role} NOLOGIN",
        f"CREATE ROLE {role}_a LOGIN IN ROLE {role}",
        f"CREATE ROLE {role}_b LOGIN IN ROLE {role}",
        f"GRANT SELECT, INSERT, UPDATE ON products TO {role}",
    ):
        database.sql(statement)
    url = database.url.replace("//postgres@", "//{}@")
    seen = database.told(
        f"""
    const old = await client('{url.format(role + "_a")}');
    await old.query("INSERT INTO products VALUES ('tea', 900, 5)");
    await rows('ALTER ROLE {role}_a NOLOGIN');
    const stock = 'UPDATE products SET stock = stock - 1 RETURNING stock';
    const after = (await old.query(stock)).rows[0].stock;
    const refused = await outcome(client('{url.format(role + "_a")}'));
    const next = await client('{url.format(role + "_b")}');
    const taken = (await next.query(stock)).rows[0].stock;
    const altered = await outcome(next.query('ALTER TABLE products ADD x int'));
    say({{ after, refused, taken, altered }});
    """
    )
    assert seen == {"after": 4, "refused": "28000", "taken": 3, "altered": "42501"}
