// --8<-- [start:canonical]
import { z } from 'zod';
import { parserOf } from './parser.mjs';
import { EMAIL, HANDLE } from './rules.mjs';

/** One spelling of what is looked up: at the boundary, once, and stored. */
const canonical = (text) => text.trim().normalize('NFKC').toLowerCase();
const lookedUp = (max, pattern) =>
  z
    .string()
    .max(max)
    .transform(canonical)
    // checked afterwards: what canonical() makes must be allowed, too
    .pipe(z.string().regex(pattern));

const email = lookedUp(254, EMAIL);
const password = z.string().min(1).max(200); // never changed, never trimmed
export const parseLogin = parserOf(z.strictObject({ email, password }));
// --8<-- [end:canonical]

// --8<-- [start:accounts]
import express from 'express';
import { open } from './database.mjs';
import { quietly } from './quietly.mjs';
import { bodyErrors, jsonBody, validate } from './validate.mjs';

const name = lookedUp(30, HANDLE);
// mail goes to the address as it was typed: another spelling may be another
// mailbox. What is looked up, and unique, stands beside it
const typed = z
  .string()
  .max(254)
  .regex(EMAIL)
  .refine((text) => EMAIL.test(canonical(text)));
const Account = z
  .strictObject({ name, email: typed })
  .transform((sent) => ({ ...sent, address: canonical(sent.email) }));
const parseAccount = parserOf(Account);
const parseReset = parserOf(z.strictObject({ name }));
// --8<-- [end:accounts]

// --8<-- [start:app]
export function createApp({ db = open(), mail = console.log } = {}) {
  const insert = db.prepare(`INSERT INTO accounts
    VALUES (:name, :email, :address) ON CONFLICT DO NOTHING`);
  const find = db.prepare('SELECT email FROM accounts WHERE name = ?');
  const app = express();
  app.use(jsonBody({ limit: '1kb' }));

  app.post('/accounts', validate(parseAccount), (req, res) => {
    // the index decides: after a look, somebody else may have been quicker
    const { changes } = insert.run(req.body);
    return res.sendStatus(changes ? 201 : 409);
  });

  app.post('/resets', validate(parseReset), (req, res) => {
    const { name } = req.body;
    const { email } = find.get(name) ?? {};
    // neither its time nor its failure tells whether there is such a name
    if (email) quietly(mail, `mail to ${email} opens ${name}`);
    return res.sendStatus(202);
  });
  app.use(bodyErrors);
  return app;
}
// --8<-- [end:app]
