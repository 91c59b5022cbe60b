// --8<-- [start:app]
import express from 'express';
import { parseOrder as parse } from '../rest-apis/order.mjs';
import * as traces from './context.mjs';
import { createPino } from './loggers.mjs';
import { createOrders } from './orders.mjs';
import { problems, requestLog } from './request-log.mjs';

/** `logger` is Pino's; `measure` is a middleware that counts and times. */
export function createApp(deps = {}) {
  const { context = traces, measure = (req, res, next) => next() } = deps;
  const { logger = createPino({ context: context.inLogs }) } = deps;
  const { orders = createOrders({ logger }), parseOrder = parse } = deps;
  const app = express();
  app.disable('x-powered-by');
  app.use(context.traced); // first: every line below has the trace
  app.use(requestLog({ logger }), measure);
  app.use(express.json({ limit: '16kb' }));

  app.get('/orders/:id', async (req, res, next) => {
    const order = await orders.get(req.params.id);
    return order ? res.json(order) : next();
  });
  app.post('/orders', async (req, res) => {
    const { value, errors } = await parseOrder(req.body);
    if (errors) return res.status(422).json({ status: 422, errors });
    const order = await orders.insert(value);
    return res.status(201).location(`/orders/${order.id}`).json(order);
  });
  app.use(problems({ logger }));
  return app;
}
// --8<-- [end:app]
