// --8<-- [start:customers]
import express from 'express';
import { problems } from './edge.mjs';

const isText = (value) =>
  typeof value === 'string' && value !== '' && value.length <= 200;

/** The DTO: what this request may say, by name, and nothing else. */
function registration(body) {
  const { email, name } = Object(body);
  return isText(email) && isText(name) ? { email, name } : null;
}

/** The domain names what it takes, too: the edge may forget. */
const register = ({ email, name }) => ({ email, name, role: 'customer' });

/** @param {{ customers?: Map<string, object> }} deps */
export function createApp({ customers = new Map() } = {}) {
  const app = express().disable('x-powered-by');
  app.post('/customers', express.json({ limit: '16kb' }), (req, res) => {
    const input = registration(req.body);
    if (!input) return res.sendStatus(422);
    if (customers.has(input.email)) return res.sendStatus(409);
    const customer = register(input);
    customers.set(customer.email, customer);
    return res.status(201).json(customer);
  });
  app.use(problems());
  return app;
}
// --8<-- [end:customers]
