"""What several files of these tests share."""

import contextlib
import json
import subprocess

from lab.run import node
from lab.run.services.postgres_server import postgres_programs

TOPIC = "databases"
HERE = node.SNIPPETS / TOPIC


class Database:
    """A database with the shop's tables: `url`, `sql(statement)` as
    lab.run.services has it, and `told(source)`."""

    def __init__(self, server, name: str) -> None:
        self.server, self.name = server, name
        self.url = server.url.rpartition("/")[0] + f"/{name}"

    def sql(self, statement: str) -> str:
        return type(self.server).sql(self, statement)

    def told(self, source: str, url: str = "", timeout: float = 20):
        """What JavaScript said, as JSON. It has what PRELUDE makes."""
        return json.loads(node.printed(self.script(source, url), timeout=timeout))

    @contextlib.contextmanager
    def locked(self, table: str):
        """Nobody else may use a table until the block ends."""
        psql = postgres_programs() / "psql"
        held = f"BEGIN; LOCK TABLE {table}; SELECT 'locked';\n"
        with subprocess.Popen(
            [psql, "-XAtq", "-d", self.url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as session:  # fmt: skip
            try:
                session.stdin.write(held)
                session.stdin.flush()
                assert session.stdout.readline() == "locked\n"
                yield
            finally:
                session.kill()

    def script(self, source: str, url: str = "") -> str:
        start = PRELUDE.replace("@URL", url or self.url)
        return f"{start}\n{source}\nawait close();\n"


# `db`: a pool of ours; `raw()`: one of pg; `client()`: a connection by itself; `other`:
# such a one, to look at what the rest does; `gate()`: a promise that is opened
PRELUDE = """
import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPool } from './databases/pool.mjs';
import { transaction } from './databases/transaction.mjs';
const url = '@URL';
const quiet = { info() {}, warn() {}, error() {} };
const open = [];
const db = createPool({ url, logger: quiet });
const raw = (options) => {
  const pool = new pg.Pool({ connectionString: url, ...options });
  pool.on('error', () => {});
  open.push(pool);
  return pool;
};
const client = async (at = url) => {
  const one = new pg.Client({ connectionString: at });
  one.on('error', () => {});
  await one.connect();
  open.push(one);
  return one;
};
const other = await client();
const close = () => Promise.all([db.end(), ...open.map((one) => one.end())]);
const say = (value) => console.log(JSON.stringify(value));
const outcome = (promise) => promise.then(
  (value) => value ?? 'ok',
  (error) => error?.code ?? error?.status ?? error?.message ?? String(error));
const gate = () => {
  const { promise, resolve } = Promise.withResolvers();
  return { opened: promise, open: resolve };
};
const rows = async (text, values) => (await other.query(text, values)).rows;
const value = async (text, values) =>
  Object.values((await rows(text, values))[0])[0];
// until a statement gives true; the test's own timeout ends it
const until = async (text, values) => {
  while (!(await value(text, values))) await sleep(5);
};
const times = (count, act) => Array.from({ length: count }, (_, n) => act(n));
// a row of pg_stat_activity of our database, except who asks
const ours = `FROM pg_stat_activity WHERE datname = current_database()
  AND pid <> pg_backend_pid()`;
"""
