// --8<-- [start:customers]
import express from 'express';

/** The rule: who registers is a customer. */
function register(input) {
  return { role: 'customer', ...input };
}

export function createApp({ customers = new Map() } = {}) {
  const app = express().disable('x-powered-by');
  app.post('/customers', express.json({ limit: '16kb' }), (req, res) => {
    const customer = register(req.body);
    customers.set(customer.email, customer);
    res.status(201).json(customer);
  });
  return app;
}
// --8<-- [end:customers]
