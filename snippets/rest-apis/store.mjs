/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
import { DatabaseSync } from 'node:sqlite';
import { atomically as allOrNothing } from '../architecture/atomically.mjs';

const SCHEMA = `
  PRAGMA busy_timeout = 2000; -- first: others may open it just now, too
  PRAGMA journal_mode = WAL;
  CREATE TABLE IF NOT EXISTS orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of creation, internal
    id TEXT NOT NULL UNIQUE, customer TEXT NOT NULL, status TEXT NOT NULL,
    total INTEGER NOT NULL, version INTEGER NOT NULL,
    items TEXT NOT NULL, note TEXT
  ) STRICT;
  CREATE INDEX IF NOT EXISTS by_time ON orders (customer, seq);
  CREATE INDEX IF NOT EXISTS by_total ON orders (customer, total, seq);
  CREATE TABLE IF NOT EXISTS answers (
    customer TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL,
    body TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (customer, key)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS by_age ON answers (at);
`;
// what a client may sort by; both end in `seq`, so that no two rows are equal
const SORTS = {
  created: ['seq', 'seq > :seq'],
  '-created': ['seq DESC', 'seq < :seq'],
  total: ['total, seq', '(total, seq) > (:total, :seq)'],
  '-total': ['total DESC, seq DESC', '(total, seq) < (:total, :seq)'],
};

// --8<-- [start:store]
/** Orders in SQLite. Every method is async so that a database behind a socket
 * can stand in; this one is not: a query holds the loop while it runs.
 * @param {string} path @param {{ now?: () => number }} deps */
export function createStore(path = ':memory:', { now = Date.now } = {}) {
  const db = new DatabaseSync(path);
  prepare(db);
  const statements = new Map();
  const sql = (text) => {
    if (!statements.has(text)) statements.set(text, db.prepare(text));
    return statements.get(text);
  };
  // no other process writes while `work` runs
  const atomically = (work) => allOrNothing(db, work);
  return {
    /** The orders of one customer: no query goes without its owner. */
    of: (customer) => ordersOf({ customer, sql, atomically, now }),
    ping: async () => Boolean(sql('SELECT 1').get()),
    close: () => db.close(),
  };
}
// --8<-- [end:store]

/** Several processes may begin with one new file. While one of them switches
 * it to WAL, SQLite refuses the others at once, `busy_timeout` or not. */
function prepare(db, tries = 200) {
  for (let left = tries; ; left -= 1) {
    try {
      return db.exec(SCHEMA);
    } catch (error) {
      const busy = error.errcode % 256 === 5; // SQLITE_BUSY and its kin
      if (!busy || left === 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10); // ms
    }
  }
}

// --8<-- [start:orders]
function ordersOf({ customer, sql, atomically, now }) {
  const mine = 'id = ? AND customer = ?';
  return {
    async get(id) {
      const row = sql(`SELECT * FROM orders WHERE ${mine}`).get(id, customer);
      return row ? order(row) : null;
    },

    /** Changes that version or none: null if it is not that one any more. */
    async update(id, version, { items, note, status, total }) {
      const row = sql(
        `UPDATE orders SET items = ?, note = ?, status = ?, total = ?,
         version = version + 1 WHERE ${mine} AND version = ? RETURNING *`,
      ).get(
        ...[JSON.stringify(items), note ?? null, status, total],
        ...[id, customer, version],
      );
      return row ? order(row) : null;
    },

    async remove(id, version) {
      return sql(`DELETE FROM orders WHERE ${mine} AND version = ?`).run(
        id,
        customer,
        version,
      ).changes;
    },
    // --8<-- [end:orders]

    // --8<-- [start:list]
    async list({ status = null, sort, limit, after }) {
      const [by, beyond] = SORTS[sort]; // from our own table, never the URL
      const query = sql(
        `SELECT * FROM orders WHERE customer = :customer
         AND (:status IS NULL OR status = :status)
         ${after ? `AND ${beyond}` : ''} ORDER BY ${by} LIMIT :limit`,
      );
      query.setAllowUnknownNamedParameters(true); // not each sort uses both
      return query.all({ customer, status, limit, ...after });
    },
    ...onceFor({ customer, sql, atomically, now }),
  };
}

// --8<-- [end:list]

/** A row as clients see it: no `seq`, no null.
 * @param {any} row */
export function order({ id, customer, status, total, version, ...row }) {
  const note = row.note ?? undefined;
  const items = JSON.parse(row.items);
  return { id, customer, items, note, status, total, version };
}

// --8<-- [start:once]
const DAY = 86_400_000;

/** `insert(order, { key, request })` places one order for a key, whatever
 * happens: order and key are written in one transaction, or neither is.
 * Both answer null if the key was used for another request. */
function onceFor({ customer, sql, atomically, now }) {
  const replay = ({ key, request }) => {
    const seen = sql(
      'SELECT * FROM answers WHERE customer = ? AND key = ?',
    ).get(customer, key);
    if (!seen) return undefined;
    return seen.request === request ? JSON.parse(seen.body) : null;
  };
  const insert = (fresh, once) => {
    sql('DELETE FROM answers WHERE at < ?').run(now() - DAY);
    const before = replay(once);
    if (before !== undefined) return before;
    const { id, items, note, status, total, version } = fresh;
    const placed = { id, customer, items, note, status, total, version };
    sql(
      `INSERT INTO orders (id, customer, items, note, status, total, version)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      ...[id, customer, JSON.stringify(items), note ?? null],
      ...[status, total, version],
    );
    sql('INSERT INTO answers VALUES (?, ?, ?, ?, ?)').run(
      ...[customer, once.key, once.request, JSON.stringify(placed), now()],
    );
    return placed;
  };
  return {
    replay: async (once) => replay(once),
    insert: async (fresh, once) => atomically(() => insert(fresh, once)),
  };
}
// --8<-- [end:once]
