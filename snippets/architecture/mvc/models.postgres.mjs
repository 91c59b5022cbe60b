import { randomUUID } from 'node:crypto';
import { openDatabase } from '../database.mjs';
import { transaction } from '../transaction.mjs';

const CREDIT = 100_000;

export class ModelError extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

/** Models that know their rules and how they are stored, and no HTTP. */
export async function createModels({ url, ...deps } = {}) {
  const pool = await openDatabase(url ?? process.env.DATABASE_URL, deps);
  const atomically = (work) => transaction(pool, work);

  class Product {
    static async get(sku, db) {
      const text = 'SELECT * FROM products WHERE sku = $1';
      const [row] = (await db.query(text, [sku])).rows;
      if (!row) throw new ModelError('unknown', `There is no ${sku}.`);
      return Object.assign(new Product(), row);
    }

    async take(quantity, db) {
      const text = 'UPDATE products SET stock = stock - $1 WHERE sku = $2';
      try {
        await db.query(text, [quantity, this.sku]);
      } catch (error) {
        const full = error.constraint === 'in_stock';
        if (!full) throw error;
        throw new ModelError('no-stock', 'There is not enough of it.');
      }
    }

    async giveBack(quantity, db) {
      const text = 'UPDATE products SET stock = stock + $1 WHERE sku = $2';
      await db.query(text, [quantity, this.sku]);
    }
  }

  // --8<-- [start:place]
  class Order {
    /** Resolves to the order, or rejects with a ModelError. */
    static async place({ customer, items, note }) {
      return atomically(async (db) => {
        let total = 0;
        for (const { sku, quantity } of items) {
          const product = await Product.get(sku, db);
          total += quantity * product.price;
          await product.take(quantity, db);
        }
        if ((await Order.owed(customer, db)) + total > CREDIT) {
          throw new ModelError('credit', 'That is more than you may owe.');
        }
        const id = `ord_${randomUUID()}`;
        await db.query(
          `INSERT INTO orders (id, customer, items, note, status, total,
           version) VALUES ($1, $2, $3, $4, 'open', $5, 1)`,
          [id, customer, JSON.stringify(items), note ?? null, total],
        );
        return Order.get(customer, id, db);
      });
    }

    static async owed(customer, db) {
      const { rows } = await db.query(
        `SELECT coalesce(sum(total), 0)::integer AS owed FROM orders
         WHERE customer = $1 AND status = 'open'`,
        [customer],
      );
      return rows[0].owed;
    }
    // --8<-- [end:place]

    static async get(customer, id, db) {
      const { rows } = await db.query(
        'SELECT * FROM orders WHERE id = $1 AND customer = $2',
        [id, customer],
      );
      const [row] = rows;
      if (!row) throw new ModelError('none', 'You have no such order.');
      const items = JSON.parse(row.items);
      return Object.assign(new Order(), { ...row, items });
    }

    static async find(customer, id) {
      return Order.get(customer, id, pool);
    }

    static async pay(customer, id) {
      return atomically(async (db) => {
        const order = await Order.get(customer, id, db);
        return order.move('paid', ['open'], db);
      });
    }

    static async cancel(customer, id) {
      return atomically(async (db) => {
        const order = await Order.get(customer, id, db);
        await order.move('cancelled', ['open', 'paid'], db);
        for (const { sku, quantity } of order.items) {
          await (await Product.get(sku, db)).giveBack(quantity, db);
        }
        return order;
      });
    }

    async move(status, before, db) {
      if (!before.includes(this.status)) {
        throw new ModelError('transition', `It is ${this.status}.`);
      }
      this.status = status;
      this.version += 1;
      const text =
        'UPDATE orders SET status = $1, version = $2 WHERE id = $3';
      await db.query(text, [status, this.version, this.id]);
      return this;
    }
  }
  return { Order, Product, ModelError };
}
