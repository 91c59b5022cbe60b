import express from 'express';
import { randomUUID } from 'node:crypto';
import { openDatabase } from '../database.mjs';
import { identify, parseOrder, Problem, problems } from '../edge.mjs';
import { transaction } from '../transaction.mjs';

export async function createApp({ authenticate = () => null, ...deps } = {}) {
  const url = deps.url ?? process.env.DATABASE_URL;
  const pool = await openDatabase(url, deps);
  const app = express().disable('x-powered-by');
  app.use(identify(authenticate), express.json({ limit: '16kb' }));

  const find = async (id, user, db = pool) => {
    const { rows } = await db.query(
      `SELECT id, customer, items, note, status, total, version
       FROM orders WHERE id = $1 AND customer = $2`,
      [id, user.id],
    );
    const [row] = rows;
    if (!row) throw new Problem(404, 'You have no such order.');
    const note = row.note ?? undefined;
    return { ...row, items: JSON.parse(row.items), note };
  };

  // --8<-- [start:place]
  app.post('/orders', async (req, res) => {
    const { value, errors } = parseOrder(req.body);
    if (errors) throw new Problem(422, 'That is no order.', { errors });
    const { items, note } = value;
    const id = `ord_${randomUUID()}`;
    await transaction(pool, async (db) => {
      let total = 0;
      for (const { sku, quantity } of items) {
        const price = 'SELECT price FROM products WHERE sku = $1';
        const [product] = (await db.query(price, [sku])).rows;
        if (!product) throw new Problem(409, `There is no ${sku}.`);
        total += quantity * product.price;
        await take(db, sku, quantity);
      }
      const { rows } = await db.query(
        `SELECT coalesce(sum(total), 0)::integer AS owed FROM orders
         WHERE customer = $1 AND status = 'open'`,
        [req.user.id],
      );
      if (rows[0].owed + total > 100_000) {
        throw new Problem(409, 'That is more than you may owe.');
      }
      await db.query(
        `INSERT INTO orders (id, customer, items, note, status, total,
         version) VALUES ($1, $2, $3, $4, 'open', $5, 1)`,
        [id, req.user.id, JSON.stringify(items), note ?? null, total],
      );
    });
    res
      .status(201)
      .location(`/orders/${id}`)
      .json(await find(id, req.user));
  });
  // --8<-- [end:place]

  const take = async (db, sku, quantity) => {
    const text = 'UPDATE products SET stock = stock - $1 WHERE sku = $2';
    try {
      await db.query(text, [quantity, sku]);
    } catch (error) {
      const full = error.code === '23514' && error.constraint === 'in_stock';
      throw full ? new Problem(409, 'There is not enough of it.') : error;
    }
  };

  app.get('/orders/:id', async (req, res) => {
    res.json(await find(req.params.id, req.user));
  });

  const change = (status, before, also = () => {}) =>
    async function handler(req, res) {
      await transaction(pool, async (db) => {
        const order = await find(req.params.id, req.user, db);
        if (!before.includes(order.status)) {
          throw new Problem(409, `It is ${order.status}.`);
        }
        await db.query(
          `UPDATE orders SET status = $1, version = version + 1
           WHERE id = $2`,
          [status, order.id],
        );
        await also(order, db);
      });
      res.json(await find(req.params.id, req.user));
    };
  app.post('/orders/:id/payment', change('paid', ['open']));
  const giveBack = async ({ items }, db) => {
    const text = 'UPDATE products SET stock = stock + $1 WHERE sku = $2';
    for (const { sku, quantity } of items) {
      await db.query(text, [quantity, sku]);
    }
  };
  app.post(
    '/orders/:id/cancellation',
    change('cancelled', ['open', 'paid'], giveBack),
  );

  app.use(problems(deps));
  return app;
}
