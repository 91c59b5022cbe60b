// --8<-- [start:app]
import express from 'express';
import { crossOrigin } from './cors.naive.mjs';
import { idempotent } from './idempotency.naive.mjs';
import { document } from './openapi.mjs';
import { pricesIn } from './prices.mjs';

export function createApp(deps = {}) {
  const { orders = new Map(), priceOf = pricesIn() } = deps;
  const { authenticate = () => null } = deps;
  const app = express();
  app.get('/openapi.json', (req, res) => res.json(document));
  app.use(crossOrigin(), express.json());
  app.use(async (req, res, next) => {
    req.user = await authenticate(req);
    return req.user ? next() : res.sendStatus(401);
  });

  app.get('/orders', (req, res) => {
    const { limit = 20, offset = 0 } = req.query;
    res.json([...orders.values()].slice(offset, offset + limit));
  });
  app.post('/orders', idempotent(), async (req, res) => {
    const prices = await priceOf(req.body.items.map(({ sku }) => sku));
    const total = req.body.items.reduce(
      (sum, { sku, quantity }) => sum + prices.get(sku) * quantity,
      0,
    );
    const order = { id: String(orders.size + 1), customer: req.user.id };
    Object.assign(order, { status: 'open', total, version: 1 }, req.body);
    orders.set(order.id, order);
    res.status(201).json(order);
  });
  // --8<-- [end:app]
  // --8<-- [start:one]
  app.get('/orders/:id', (req, res) => {
    res.json(orders.get(req.params.id));
  });
  const change = (req, res) => {
    const order = orders.get(req.params.id);
    Object.assign(order, req.body);
    order.version += 1;
    res.json(order);
  };
  app.put('/orders/:id', change);
  app.patch('/orders/:id', change);
  app.delete('/orders/:id', (req, res) => {
    orders.delete(req.params.id);
    res.sendStatus(200);
  });
  return app;
}
// --8<-- [end:one]
