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
import { bodyErrors, jsonBody, validate } from './validate.mjs';

const name = lookedUp(30, HANDLE);
const parseAccount = parserOf(z.strictObject({ name, email }));
const parseReset = parserOf(z.strictObject({ name }));

export function createApp({ mail = console.log } = {}) {
  const accounts = new Map([['ann', { email: 'ann@shop.test' }]]);
  const app = express();
  app.use(jsonBody({ limit: '1kb' }));

  app.post('/accounts', validate(parseAccount), (req, res) => {
    const { name, email } = req.body;
    if (accounts.has(name)) return res.sendStatus(409);
    accounts.set(name, { email });
    return res.sendStatus(201);
  });

  app.post('/resets', validate(parseReset), (req, res) => {
    const { name } = req.body;
    const { email } = accounts.get(name) ?? {};
    if (email) mail(`mail to ${email} opens ${name}`);
    return res.sendStatus(202);
  });
  app.use(bodyErrors);
  return app;
}
// --8<-- [end:accounts]
