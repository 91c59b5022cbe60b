/* eslint-disable n/no-unsupported-features/node-builtins -- node:sqlite is
   a release candidate on Node 24, and warns on 22 */
// --8<-- [start:setup]
import express from 'express';
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { atomically } from '../atomically.mjs';
import { identify, parseOrder, Problem, problems } from '../edge.mjs';
import { SCHEMA } from '../schema.mjs';

export function createApp({ authenticate = () => null, ...deps } = {}) {
  const db = new DatabaseSync(deps.path ?? ':memory:', { timeout: 2_000 });
  db.exec(SCHEMA);
  const known = new Map();
  const sql = (text) =>
    known.get(text) ?? known.set(text, db.prepare(text)).get(text);
  const app = express().disable('x-powered-by');
  app.use(identify(authenticate), express.json({ limit: '16kb' }));

  const find = (id, user) => {
    const row = sql(
      `SELECT id, customer, items, note, status, total, version
       FROM orders WHERE id = ? AND customer = ?`,
    ).get(id, user.id);
    if (!row) throw new Problem(404, 'You have no such order.');
    const note = row.note ?? undefined;
    return { ...row, items: JSON.parse(row.items), note };
  };
  // --8<-- [end:setup]

  // --8<-- [start:place]
  app.post('/orders', (req, res) => {
    const { value, errors } = parseOrder(req.body);
    if (errors) throw new Problem(422, 'That is no order.', { errors });
    const { items, note } = value;
    const id = `ord_${randomUUID()}`;
    let total = 0;
    atomically(db, () => {
      for (const { sku, quantity } of items) {
        const price = 'SELECT price FROM products WHERE sku = ?';
        const product = sql(price).get(sku);
        if (!product) throw new Problem(409, `There is no ${sku}.`);
        total += quantity * product.price;
        take(sku, quantity);
      }
      const { owed } = sql(
        `SELECT coalesce(sum(total), 0) AS owed FROM orders
         WHERE customer = ? AND status = 'open'`,
      ).get(req.user.id);
      if (owed + total > 100_000) {
        throw new Problem(409, 'That is more than you may owe.');
      }
      sql(
        `INSERT INTO orders (id, customer, items, note, status, total,
         version) VALUES (?, ?, ?, ?, 'open', ?, 1)`,
      ).run(id, req.user.id, JSON.stringify(items), note ?? null, total);
    });
    res.status(201).location(`/orders/${id}`).json(find(id, req.user));
  });
  // --8<-- [end:place]

  const take = (sku, quantity) => {
    const text = 'UPDATE products SET stock = stock - ? WHERE sku = ?';
    try {
      sql(text).run(quantity, sku);
    } catch (error) {
      const full = error.message.endsWith('constraint failed: in_stock');
      throw full ? new Problem(409, 'There is not enough of it.') : error;
    }
  };

  app.get('/orders/:id', (req, res) => {
    res.json(find(req.params.id, req.user));
  });

  const change = (status, before, also = () => {}) =>
    function handler(req, res) {
      atomically(db, () => {
        const order = find(req.params.id, req.user);
        if (!before.includes(order.status)) {
          throw new Problem(409, `It is ${order.status}.`);
        }
        sql(
          `UPDATE orders SET status = ?, version = version + 1
           WHERE id = ?`,
        ).run(status, order.id);
        also(order);
      });
      res.json(find(req.params.id, req.user));
    };
  app.post('/orders/:id/payment', change('paid', ['open']));
  const giveBack = ({ items }) => {
    const text = 'UPDATE products SET stock = stock + ? WHERE sku = ?';
    for (const { sku, quantity } of items) sql(text).run(quantity, sku);
  };
  app.post(
    '/orders/:id/cancellation',
    change('cancelled', ['open', 'paid'], giveBack),
  );

  app.use(problems(deps));
  return app;
}
