/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
// --8<-- [start:unit]
import { DatabaseSync } from 'node:sqlite';
import { rollback } from '../atomically.mjs';
import { SCHEMA } from '../schema.mjs';
import { inTurn, within } from '../turns.mjs';
import { Refused } from './domain.mjs';

export function sqliteStore({
  path = ':memory:',
  patience = 5_000,
  signal,
} = {}) {
  const db = new DatabaseSync(path, { timeout: 2_000 });
  db.exec(SCHEMA);
  const known = new Map();
  const sql = (text) =>
    known.get(text) ?? known.set(text, db.prepare(text)).get(text);
  // what `work` still writes when it is over would be the next one's
  const asked = (work) =>
    within(patience, (over) => {
      const own = (text) => (over.throwIfAborted(), sql(text));
      return work({ orders: ordersIn(own), products: productsIn(own) });
    });

  async function alone(work) {
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = await asked(work);
      db.exec('COMMIT');
      return result;
    } catch (error) {
      rollback(db);
      throw error;
    }
  }
  // --8<-- [end:unit]

  // --8<-- [start:queue]
  // `work` awaits, and there is one connection: without a queue the next
  // request would write into this one's transaction
  const queued = inTurn();
  let closed;
  const close = () => (closed ??= queued(() => db.close()));
  signal?.addEventListener('abort', close);
  return {
    unitOfWork: (work) => queued(() => alone(work)),
    read: (work) => queued(() => asked(work)), // nothing half-written
    close,
  };
}
// --8<-- [end:queue]

// --8<-- [start:stores]
const ordersIn = (sql) => ({
  async get(id) {
    const row = sql(
      `SELECT id, customer, items, note, status, total, version
       FROM orders WHERE id = ?`,
    ).get(id);
    if (!row) return null;
    const note = row.note ?? undefined;
    return { ...row, items: JSON.parse(row.items), note };
  },
  async insert({ id, customer, items, note, status, total, version }) {
    sql(
      `INSERT INTO orders (id, customer, items, note, status, total, version)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ).run(
      ...[id, customer, JSON.stringify(items), note ?? null],
      ...[status, total, version],
    );
  },
  async update({ id, status, version }) {
    const { changes } = sql(
      `UPDATE orders SET status = ?, version = ?
       WHERE id = ? AND version = ?`,
    ).run(status, version, id, version - 1);
    if (!changes) throw new Refused('changed', 'It is another by now.');
  },
  async owed(customer) {
    const open = `SELECT coalesce(sum(total), 0) AS owed FROM orders
       WHERE customer = ? AND status = 'open'`;
    return sql(open).get(customer).owed;
  },
});
// --8<-- [end:stores]

const productsIn = (sql) => ({
  async prices(skus) {
    const price = 'SELECT sku, price FROM products WHERE sku = ?';
    const rows = skus.flatMap((sku) => sql(price).get(sku) ?? []);
    return new Map(rows.map((row) => [row.sku, row.price]));
  },
  async take(items) {
    const text = 'UPDATE products SET stock = stock - ? WHERE sku = ?';
    try {
      for (const { sku, quantity } of items) sql(text).run(quantity, sku);
    } catch (error) {
      throw translated(error);
    }
  },
  async giveBack(items) {
    const text = 'UPDATE products SET stock = stock + ? WHERE sku = ?';
    for (const { sku, quantity } of items) sql(text).run(quantity, sku);
  },
});

/** Only here is it known how SQLite says that a constraint failed. */
const translated = (error) =>
  error.message.endsWith('constraint failed: in_stock')
    ? new Refused('no-stock', 'There is not enough of it.')
    : error;
