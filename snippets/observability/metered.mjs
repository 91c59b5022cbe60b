// --8<-- [start:app]
import express from 'express';
import { createHealth } from './health.mjs';
import { createPino } from './loggers.mjs';
import { createMetrics } from './metrics.mjs';
import { problems } from './request-log.mjs';

const order = { id: 'ord_1', status: 'paid', total: 799 };
const store = { get: async (id) => (id === order.id ? order : null) };

export function createApp({
  orders = store,
  logger = createPino(),
  metrics = createMetrics(),
  health = createHealth({ checks: { orders: () => orders.get('ord_0') } }),
} = {}) {
  const app = express();
  app.disable('x-powered-by');
  app.use(health); // above the metrics: probes are no traffic
  app.use(metrics.measure);
  app.get('/orders/:id', async (req, res, next) => {
    const found = await orders.get(req.params.id);
    return found ? res.json(found) : next();
  });
  app.use(problems({ logger })); // /orders/%zz is a 400, and pages nobody
  return app;
}
// --8<-- [end:app]
