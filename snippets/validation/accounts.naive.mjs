// --8<-- [start:accounts]
import express from 'express';
import { open } from './database.mjs';

const canonical = (name) => name.trim().normalize('NFKC').toLowerCase();

export function createApp({ db = open(), mail = console.log } = {}) {
  const insert = db.prepare(`INSERT INTO accounts (name, email)
    VALUES (?, ?) ON CONFLICT DO NOTHING`); // the column is unique
  const find = db.prepare('SELECT email FROM accounts WHERE name = ?');
  const app = express();
  app.use(express.json());

  app.post('/accounts', (req, res) => {
    const name = req.body.name.trim().toLowerCase();
    const { changes } = insert.run(name, req.body.email);
    return res.sendStatus(changes ? 201 : 409);
  });

  app.post('/resets', (req, res) => {
    const name = req.body.name.trim().toLowerCase();
    const { email } = find.get(name) ?? {};
    // and the token's table was made by somebody more careful
    if (email) mail(`mail to ${email} opens ${canonical(name)}`);
    return res.sendStatus(202);
  });
  return app;
}
// --8<-- [end:accounts]
