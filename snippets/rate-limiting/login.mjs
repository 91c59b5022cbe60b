import express from 'express';
import { MINUTE, rateLimit } from 'express-rate-limit';
import { randomBytes } from 'node:crypto';
import { problems } from '../rest-apis/problem.mjs';
import { devicesOf } from './device.mjs';
import { account, failureLimits } from './failures.mjs';
import { BoundedStore } from './memory.mjs';
import { passwordsOf } from './passwords.mjs';

// --8<-- [start:login]
/** A login whose failures are limited, see failures.mjs.
 * @param {{ users?: Map<string, any>, check?: Function, secret?: Buffer,
 *   proxies?: false | string | string[], store?: Function, N?: number,
 *   logger?: Console }} deps */
export function createApp(deps = {}) {
  const { users = new Map(), N, check = passwordsOf({ users, N }) } = deps;
  const { secret = randomBytes(32), proxies = false, logger } = deps;
  const { store = () => new BoundedStore() } = deps; // see shared.mjs
  const { remember, known } = devicesOf({ secret, account });
  // wide, since all behind one address share it
  const flood = { windowMs: MINUTE, limit: 300, store: store('flood') };
  const app = express();
  app.set('trust proxy', proxies);

  app.post(
    '/login',
    rateLimit(flood), // before anything is parsed
    express.json({ limit: '1kb' }),
    (req, res, next) => {
      const { email, password } = req.body ?? {};
      const text = typeof email === 'string' && typeof password === 'string';
      return text ? next() : res.sendStatus(400);
    },
    ...failureLimits({ store, known }),
    async (req, res) => {
      const right = await check(account(req), req.body.password);
      if (right === null) return res.set('Retry-After', '1').sendStatus(503);
      if (!right) return res.status(401).json({ error: 'wrong credentials' });
      remember(req, res);
      return res.sendStatus(204);
    },
  );
  app.use(problems({ logger })); // Express prints what the parser quotes
  return app;
}
// --8<-- [end:login]
