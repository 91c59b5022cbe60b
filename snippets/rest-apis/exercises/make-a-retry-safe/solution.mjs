import express from 'express';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

/** Asks the warehouse, which takes a while; it has no yaks. */
async function reserve(sku) {
  await sleep(400);
  return sku !== 'yak';
}

const DAY = 86_400_000;
const MOST = 10_000; // keys in memory, or one client could fill it

export function createApp() {
  const orders = [];
  const intents = new Map(); // in the order in which they began
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

  /** Forgets what is a day old, and says whether there is room. */
  function room() {
    for (const [name, { at }] of intents) {
      if (at > Date.now() - DAY) break;
      intents.delete(name);
    }
    return intents.size < MOST;
  }

  async function place(customer, sku) {
    if (!(await reserve(sku))) return null;
    const order = { id: randomUUID(), customer, sku };
    orders.push(order);
    return order;
  }

  app.post('/orders', async (req, res) => {
    const key = req.get('Idempotency-Key');
    if (!key) return res.sendStatus(400);
    const { sku } = req.body ?? {};
    if (typeof sku !== 'string') return res.sendStatus(422);

    // As JSON, so that no customer can write a key that reads like another's.
    const name = JSON.stringify([req.customer, key]);
    const known = intents.get(name);
    if (known && known.sku !== sku) return res.sendStatus(422);
    if (!known && !room())
      return res.set('Retry-After', '60').sendStatus(503);
    // The promise is remembered, not its result, and in the same turn of the
    // loop in which we looked: whoever comes meanwhile waits for it.
    const placed = known?.placed ?? place(req.customer, sku);
    if (!known) intents.set(name, { sku, placed, at: Date.now() });
    let order = null;
    try {
      order = await placed;
    } finally {
      // refused or failed: only this try is forgotten, not one begun since
      const mine = intents.get(name)?.placed === placed;
      if (!order && mine) intents.delete(name);
    }
    if (order) return res.status(201).json(order);
    return res.status(409).json({ error: 'out of stock' });
  });
  return app;
}
