/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
// --8<-- [start:setup]
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { atomically } from '../atomically.mjs';
import { SCHEMA } from '../schema.mjs';

const CREDIT = 100_000;

export class ModelError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

/** Models that know their rules and how they are stored, and no HTTP. */
export function createModels({ path = ':memory:' } = {}) {
  const db = new DatabaseSync(path, { timeout: 2_000 });
  db.exec(SCHEMA);
  const known = new Map();
  const sql = (text) =>
    known.get(text) ?? known.set(text, db.prepare(text)).get(text);
  // --8<-- [end:setup]

  class Product {
    static get(sku) {
      const row = sql('SELECT * FROM products WHERE sku = ?').get(sku);
      if (!row) throw new ModelError('unknown', `There is no ${sku}.`);
      return Object.assign(new Product(), row);
    }

    take(quantity) {
      const text = 'UPDATE products SET stock = stock - ? WHERE sku = ?';
      try {
        sql(text).run(quantity, this.sku);
      } catch (error) {
        const full = error.message.endsWith('constraint failed: in_stock');
        if (!full) throw error;
        throw new ModelError('no-stock', 'There is not enough of it.');
      }
    }

    giveBack(quantity) {
      const text = 'UPDATE products SET stock = stock + ? WHERE sku = ?';
      sql(text).run(quantity, this.sku);
    }
  }

  // --8<-- [start:place]
  class Order {
    /** Resolves to the order, or rejects with a ModelError. */
    static async place({ customer, items, note }) {
      return atomically(db, () => {
        let total = 0;
        for (const { sku, quantity } of items) {
          const product = Product.get(sku);
          total += quantity * product.price;
          product.take(quantity);
        }
        if (Order.owed(customer) + total > CREDIT) {
          throw new ModelError('credit', 'That is more than you may owe.');
        }
        const id = `ord_${randomUUID()}`;
        sql(
          `INSERT INTO orders (id, customer, items, note, status, total,
           version) VALUES (?, ?, ?, ?, 'open', ?, 1)`,
        ).run(id, customer, JSON.stringify(items), note ?? null, total);
        return Order.get(customer, id);
      });
    }

    static owed(customer) {
      return sql(
        `SELECT coalesce(sum(total), 0) AS owed FROM orders
         WHERE customer = ? AND status = 'open'`,
      ).get(customer).owed;
    }
    // --8<-- [end:place]

    static get(customer, id) {
      const row = sql(
        'SELECT * FROM orders WHERE id = ? AND customer = ?',
      ).get(id, customer);
      if (!row) throw new ModelError('none', 'You have no such order.');
      const items = JSON.parse(row.items);
      return Object.assign(new Order(), { ...row, items });
    }

    static async find(customer, id) {
      return Order.get(customer, id);
    }

    static async pay(customer, id) {
      return atomically(db, () =>
        Order.get(customer, id).move('paid', ['open']),
      );
    }

    static async cancel(customer, id) {
      return atomically(db, () => {
        const order = Order.get(customer, id);
        order.move('cancelled', ['open', 'paid']);
        for (const { sku, quantity } of order.items) {
          Product.get(sku).giveBack(quantity);
        }
        return order;
      });
    }

    move(status, before) {
      if (!before.includes(this.status)) {
        throw new ModelError('transition', `It is ${this.status}.`);
      }
      this.status = status;
      this.version += 1;
      const text = 'UPDATE orders SET status = ?, version = ? WHERE id = ?';
      sql(text).run(status, this.version, this.id);
      return this;
    }
  }
  return { Order, Product, ModelError };
}
