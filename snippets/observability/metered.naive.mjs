// --8<-- [start:app]
import express from 'express';
import { createMetrics } from './metrics.naive.mjs';

export function createApp({ metrics = createMetrics() } = {}) {
  const app = express();
  app.get('/metrics', async (req, res) => {
    res.type(metrics.register.contentType);
    res.send(await metrics.register.metrics());
  });
  app.use(metrics.measure);
  app.get('/orders/:id', (req, res) => res.json({ id: req.params.id }));
  return app;
}
// --8<-- [end:app]
