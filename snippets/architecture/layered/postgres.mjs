// --8<-- [start:unit]
import { openDatabase } from '../database.mjs';
import { transaction } from '../transaction.mjs';
import { Refused } from './domain.mjs';

export async function postgresStore({ url, ...deps }) {
  const pool = await openDatabase(url, deps);

  const storesIn = (client) => {
    const sql = async (text, ...values) =>
      (await client.query(text, values)).rows;
    return { orders: ordersIn(sql), products: productsIn(sql) };
  };
  return {
    unitOfWork: (work) =>
      transaction(pool, (client) => work(storesIn(client))),
    read: (work) => work(storesIn(pool)), // a statement sees no half
    close: () => pool.end(),
  };
}
// --8<-- [end:unit]

// --8<-- [start:stores]
const ordersIn = (sql) => ({
  async get(id) {
    const [row] = await sql(
      `SELECT id, customer, items, note, status, total, version
       FROM orders WHERE id = $1`,
      id,
    );
    if (!row) return null;
    const note = row.note ?? undefined;
    return { ...row, items: JSON.parse(row.items), note };
  },
  async insert({ id, customer, items, note, status, total, version }) {
    await sql(
      `INSERT INTO orders (id, customer, items, note, status, total, version)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      ...[id, customer, JSON.stringify(items), note ?? null],
      ...[status, total, version],
    );
  },
  async update({ id, status, version }) {
    const rows = await sql(
      `UPDATE orders SET status = $1, version = $2
       WHERE id = $3 AND version = $4 RETURNING id`,
      ...[status, version, id, version - 1],
    );
    if (!rows.length) throw new Refused('changed', 'It is another by now.');
  },
  async owed(customer) {
    // a sum of integers is a bigint, and pg gives those as strings
    const [row] = await sql(
      `SELECT coalesce(sum(total), 0)::integer AS owed FROM orders
       WHERE customer = $1 AND status = 'open'`,
      customer,
    );
    return row.owed;
  },
});
// --8<-- [end:stores]

const productsIn = (sql) => ({
  async prices(skus) {
    const rows = await sql(
      'SELECT sku, price FROM products WHERE sku = ANY ($1)',
      skus,
    );
    return new Map(rows.map((row) => [row.sku, row.price]));
  },
  async take(items) {
    const text = 'UPDATE products SET stock = stock - $1 WHERE sku = $2';
    try {
      for (const { sku, quantity } of items) await sql(text, quantity, sku);
    } catch (error) {
      throw translated(error);
    }
  },
  async giveBack(items) {
    const text = 'UPDATE products SET stock = stock + $1 WHERE sku = $2';
    for (const { sku, quantity } of items) await sql(text, quantity, sku);
  },
});

/** Only here is it known how PostgreSQL says that a constraint failed. */
const translated = (error) =>
  error.code === '23514' && error.constraint === 'in_stock'
    ? new Refused('no-stock', 'There is not enough of it.')
    : error;
