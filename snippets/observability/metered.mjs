// --8<-- [start:app]
import express from 'express';
import { createHealth } from './health.mjs';
import { createMetrics } from './metrics.mjs';

const order = { id: 'ord_1', status: 'paid', total: 799 };
const store = { get: async (id) => (id === order.id ? order : null) };

export function createApp({
  orders = store,
  metrics = createMetrics(),
  health = createHealth({ checks: { orders: () => orders.get('ord_0') } }),
} = {}) {
  const app = express();
  app.use(health); // above the metrics: probes are no traffic
  app.use(metrics.measure);
  app.get('/orders/:id', async (req, res) => {
    const found = await orders.get(req.params.id);
    if (found) return res.json(found);
    return problem(res, 404, 'No such order');
  });
  app.use((error, req, res, next) =>
    error instanceof URIError // /orders/%zz: who writes it must not page you
      ? problem(res, 400, 'Bad escape')
      : problem(res, 500, 'Our mistake'),
  );
  return app;
}

function problem(res, status, title) {
  res.status(status).type('application/problem+json');
  res.send(JSON.stringify({ status, title }));
}
// --8<-- [end:app]
