// --8<-- [start:stock]
import { Failure } from './errors.mjs';
import { transaction } from './transaction.mjs';

/** In a transaction, so nothing can come between. Or can it? */
export function createStock({ db }) {
  const take = (sku, quantity) =>
    transaction(db, async ({ query }) => {
      const read = 'SELECT stock FROM products WHERE sku = $1';
      const [{ stock }] = (await query(read, [sku])).rows;
      if (stock < quantity) throw new Failure(409, 'Not in stock.');
      const write = 'UPDATE products SET stock = $2 WHERE sku = $1';
      await query(write, [sku, stock - quantity]);
    });
  return { take };
}
// --8<-- [end:stock]
