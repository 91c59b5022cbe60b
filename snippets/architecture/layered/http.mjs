// --8<-- [start:http]
import express from 'express';
import {
  identify,
  parseOrder as parse,
  Problem,
  problems,
} from '../edge.mjs';
import { Refused } from './domain.mjs';

/** HTTP in, HTTP out. What an order may do is not known here. */
export function httpApp({
  orders,
  authenticate,
  parseOrder = parse,
  ...deps
}) {
  const app = express().disable('x-powered-by');
  app.use(identify(authenticate), express.json({ limit: '16kb' }));

  app.post('/orders', async (req, res) => {
    const { value, errors } = parseOrder(req.body);
    if (errors) throw new Problem(422, 'That is no order.', { errors });
    const order = await orders.place(req.user.id, value);
    res.status(201).location(`/orders/${order.id}`).json(shown(order));
  });
  app.get('/orders/:id', async (req, res) => {
    res.json(shown(await orders.get(req.user.id, req.params.id)));
  });
  app.post('/orders/:id/payment', async (req, res) => {
    res.json(shown(await orders.pay(req.user.id, req.params.id)));
  });
  app.post('/orders/:id/cancellation', async (req, res) => {
    res.json(shown(await orders.cancel(req.user.id, req.params.id)));
  });

  app.use((error, req, res, next) => next(translated(error)));
  app.use(problems(deps));
  return app;
}
// --8<-- [end:http]

// --8<-- [start:translated]
/** What leaves the house, named: a new column does not get out by itself. */
const shown = ({ id, customer, items, note, status, total, version }) => ({
  ...{ id, customer, items, note, status, total, version },
});

const translated = (error) =>
  error instanceof Refused
    ? new Problem(error.reason === 'unknown-order' ? 404 : 409, error.message)
    : error;
// --8<-- [end:translated]
