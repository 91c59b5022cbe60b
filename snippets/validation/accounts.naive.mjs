// --8<-- [start:accounts]
import express from 'express';

const canonical = (name) => name.trim().normalize('NFKC').toLowerCase();

export function createApp({ mail = console.log } = {}) {
  const accounts = new Map([['ann', { email: 'ann@shop.test' }]]);
  const app = express();
  app.use(express.json());

  app.post('/accounts', (req, res) => {
    const name = req.body.name.trim().toLowerCase(); // unique, we think
    if (accounts.has(name)) return res.sendStatus(409);
    accounts.set(name, { email: req.body.email });
    return res.sendStatus(201);
  });

  app.post('/resets', (req, res) => {
    const name = req.body.name.trim().toLowerCase();
    const { email } = accounts.get(name) ?? {};
    // and the token's table was made by somebody more careful
    if (email) mail(`mail to ${email} opens ${canonical(name)}`);
    return res.sendStatus(202);
  });
  return app;
}
// --8<-- [end:accounts]
