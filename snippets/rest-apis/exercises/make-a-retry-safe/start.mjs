import express from 'express';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Asks the warehouse, which takes a while; it has no yaks. */
async function reserve(sku) {
  await sleep(400);
  return sku !== 'yak';
}

export function createApp() {
  const orders = [];
  const answers = new Map();
  const app = express();
  app.use(express.json({ limit: '10kb' }));
  // who it is, for this exercise, stands in a header
  app.use((req, res, next) => {
    req.customer = req.get('X-Customer');
    return req.customer ? next() : res.sendStatus(401);
  });

  app.get('/orders', (req, res) => {
    res.json(orders.filter(({ customer }) => customer === req.customer));
  });

  app.post('/orders', async (req, res) => {
    const key = req.get('Idempotency-Key');
    if (!key) return res.sendStatus(400);
    if (answers.has(key)) return res.status(201).json(answers.get(key));

    const { sku } = req.body ?? {};
    if (typeof sku !== 'string') return res.sendStatus(422);
    if (!(await reserve(sku))) {
      answers.set(key, { error: 'out of stock' });
      return res.status(409).json({ error: 'out of stock' });
    }
    const order = { id: randomUUID(), customer: req.customer, sku };
    orders.push(order);
    answers.set(key, order);
    return res.status(201).json(order);
  });
  return app;
}
