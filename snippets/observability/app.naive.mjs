// --8<-- [start:app]
import express from 'express';
import { pino } from 'pino';
import { pinoHttp } from 'pino-http';
import { createMetrics } from './metrics.naive.mjs';
import { createOrders } from './orders.mjs';

export function createApp({
  redact = [],
  logger = pino({ redact }),
  orders,
}) {
  orders ??= createOrders({ logger });
  const { measure, register } = createMetrics();
  const app = express();
  app.use(pinoHttp({ logger }), measure);
  app.get('/metrics', async (req, res) => res.send(await register.metrics()));
  app.use(express.json());
  app.get('/orders/:id', async (req, res) => {
    res.json(await orders.get(req.params.id));
  });
  app.post('/orders', async (req, res) => {
    req.log.info({ body: req.body }, 'placing an order');
    res.status(201).json(await orders.insert(req.body));
  });
  app.use((error, req, res, next) => {
    req.log.error({ err: error });
    res.status(error.status ?? 500).send(error.stack);
  });
  return app;
}
// --8<-- [end:app]
