// --8<-- [start:shop]
import express from 'express';
import { setTimeout as sleep } from 'node:timers/promises';
import { countPrimes } from './primes.mjs';

const item = { sku: 'tea', quantity: 1, priceCents: 799 };
const rows = new Map([
  ['ord_1', { id: 'ord_1', status: 'paid', items: [item] }],
  ['ord_13', { id: 'ord_13', status: 'paid', items: [] }], // an old import
]);
const store = { get: (id) => sleep(10, rows.get(id)) }; // as a database would

/** `worker` says who answers, so that the tests can count. */
export function createApp({ orders = store, worker = process.pid } = {}) {
  let visits = 0; // of this process; its siblings count for themselves
  const app = express();
  app.get('/health', (req, res) => res.json({ worker }));
  app.get('/visits', (req, res) => res.json({ visits: (visits += 1) }));

  app.get('/orders/:id/label', (req, res) => {
    // Neither awaited nor returned: Express never sees it fail.
    sendLabel(req.params.id, res);
  });

  async function sendLabel(id, res) {
    const order = await orders.get(id);
    res.json({ label: `${order.id}: ${order.items[0].sku}` });
  }

  app.get('/report', (req, res) => res.json({ primes: countPrimes(2, 1e6) }));
  return app;
}
// --8<-- [end:shop]
