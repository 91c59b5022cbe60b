/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
import express from 'express';
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const SCHEMA = `
  CREATE TABLE products (
    sku TEXT PRIMARY KEY, stock INTEGER NOT NULL CHECK (stock >= 0)
  );
  CREATE TABLE orders (
    id TEXT PRIMARY KEY, items TEXT NOT NULL, status TEXT NOT NULL,
    note TEXT CHECK (length(note) <= 20)
  );
  INSERT INTO products VALUES ('tea', 10), ('mug', 10);
  INSERT INTO orders VALUES ('old',
    '[{"sku":"tea","quantity":1},{"sku":"cup","quantity":1}]', 'open', NULL);
`;
const tick = () => sleep(1);

function openShop() {
  const db = new DatabaseSync(':memory:');
  db.exec(SCHEMA);

  // One connection has one transaction at a time: the units of work queue, or
  // what one of them awaits would let another write into its transaction.
  let last = Promise.resolve();
  function transaction(work) {
    const turn = last.then(async () => {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = await work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        try {
          db.exec('ROLLBACK');
        } catch {
          // on a full disk SQLite has done it already; the error says why
        }
        throw error;
      }
    });
    last = turn.catch(() => {});
    return turn;
  }

  // The repositories know nothing of transactions: they cannot tell where a
  // use case begins and ends.
  const products = {
    async stock(sku) {
      await tick();
      return db.prepare('SELECT * FROM products WHERE sku = ?').get(sku);
    },
    async add({ sku, quantity }) {
      await tick();
      const { changes } = db
        .prepare('UPDATE products SET stock = stock + ? WHERE sku = ?')
        .run(quantity, sku);
      if (!changes) throw new Error(`there is no ${sku}`);
    },
  };
  const orders = {
    async get(id) {
      await tick();
      const row = db.prepare('SELECT * FROM orders WHERE id = ?').get(id);
      return row && { ...row, items: JSON.parse(row.items) };
    },
    async insert({ id, items, note = null }) {
      await tick();
      db.prepare("INSERT INTO orders VALUES (?, ?, 'open', ?)").run(
        id,
        JSON.stringify(items),
        note,
      );
    },
    async setStatus(id, status) {
      await tick();
      db.prepare('UPDATE orders SET status = ? WHERE id = ?').run(status, id);
    },
  };

  return {
    place: ({ items, note }) =>
      transaction(async () => {
        const id = randomUUID();
        for (const { sku, quantity } of items) {
          await products.add({ sku, quantity: -quantity });
        }
        await orders.insert({ id, items, note });
        return orders.get(id);
      }),
    cancel: (id) =>
      transaction(async () => {
        const order = await orders.get(id);
        if (order?.status !== 'open') throw new Error('no open order');
        await orders.setStatus(id, 'cancelled');
        for (const item of order.items) await products.add(item);
        return orders.get(id);
      }),
    order: (id) => transaction(() => orders.get(id)),
    stock: (sku) => transaction(() => products.stock(sku)),
  };
}

export function createApp({ shop = openShop() } = {}) {
  const app = express().disable('x-powered-by');
  app.use(express.json({ limit: '10kb' }));
  app.post('/orders', async (req, res) => {
    res.status(201).json(await shop.place(req.body));
  });
  app.post('/orders/:id/cancellation', async (req, res) => {
    res.json(await shop.cancel(req.params.id));
  });
  app.get('/orders/:id', async (req, res) => {
    res.json(await shop.order(req.params.id));
  });
  app.get('/products/:sku', async (req, res) => {
    res.json(await shop.stock(req.params.sku));
  });
  app.use((error, req, res, next) => {
    if (res.headersSent) return next(error);
    return res.status(409).json({ error: 'refused' });
  });
  return app;
}
