// --8<-- [start:conditional]
import { numbers } from '../validation/numbers.mjs';
import { Failure } from './errors.mjs';
import { transaction } from './transaction.mjs';

/** One statement: PostgreSQL locks the row, looks again, and writes. */
async function conditional({ query }, sku, quantity) {
  const text = `UPDATE products SET stock = stock - $2
    WHERE sku = $1 AND stock >= $2`;
  return (await query(text, [sku, quantity])).rowCount === 1;
}
// --8<-- [end:conditional]

// --8<-- [start:locked]
/** Whoever comes second waits for the first one's COMMIT, then reads. */
async function locked({ query }, sku, quantity) {
  const text = 'SELECT stock FROM products WHERE sku = $1 FOR UPDATE';
  const { rows } = await query(text, [sku]);
  if (!(rows[0]?.stock >= quantity)) return false;
  await write(query, sku, rows[0].stock - quantity);
  return true;
}
// --8<-- [end:locked]

// --8<-- [start:versioned]
/** Optimistic: nobody waits, and who comes second must begin again. */
async function versioned({ query }, sku, quantity) {
  const text = 'SELECT stock, version FROM products WHERE sku = $1';
  const [row] = (await query(text, [sku])).rows;
  if (!(row?.stock >= quantity)) return false;
  const { rowCount } = await query(
    `UPDATE products SET stock = $3, version = version + 1
     WHERE sku = $1 AND version = $2`,
    [sku, row.version, row.stock - quantity],
  );
  if (rowCount === 1) return true;
  throw Object.assign(new Error('another version'), { code: '40001' });
}
// --8<-- [end:versioned]

// --8<-- [start:plain]
/** The naive way, which SERIALIZABLE and REPEATABLE READ make right, if all
 * of it begins again after 40001. */
async function plain({ query }, sku, quantity) {
  const text = 'SELECT stock FROM products WHERE sku = $1';
  const { rows } = await query(text, [sku]);
  if (!(rows[0]?.stock >= quantity)) return false;
  await write(query, sku, rows[0].stock - quantity);
  return true;
}

const write = (query, sku, stock) =>
  query('UPDATE products SET stock = $2 WHERE sku = $1', [sku, stock]);
// --8<-- [end:plain]

// --8<-- [start:stock]
const WAYS = new Map([
  ['conditional', { take: conditional }],
  ['locked', { take: locked }],
  ['versioned', { take: versioned }],
  ['serializable', { take: plain, isolation: 'serializable' }],
  ['repeatable read', { take: plain, isolation: 'repeatable read' }],
]);

/** `take(sku, quantity)` sells what is there, or fails with a 409.
 * @param {{ db: { use: Function }, how?: string, tries?: number }} deps */
export function createStock({ db, how = 'conditional', tries = 5, retried }) {
  const way = WAYS.get(how);
  if (!way) throw new TypeError(`how: one of ${[...WAYS.keys()]}`);
  numbers({ tries });
  const { isolation, take: one } = way;
  async function take(sku, quantity, { signal } = {}) {
    const isCount = Number.isSafeInteger(quantity) && quantity > 0;
    if (!isCount) throw new Failure(422, 'A quantity is 1 or more.');
    const work = (tx) => one(tx, sku, quantity);
    const options = { isolation, tries, signal, retried };
    const sold = await transaction(db, work, options);
    if (!sold) throw new Failure(409, 'Not in stock.');
  }
  return { take };
}
// --8<-- [end:stock]
