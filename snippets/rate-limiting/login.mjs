import express from 'express';
import { DAY, HOUR, MINUTE } from 'express-rate-limit';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';
import { createHash, randomBytes } from 'node:crypto';
import { devicesOf } from './device.mjs';
import { passwordsOf } from './passwords.mjs';

// --8<-- [start:limits]
const account = (req) => req.body.email.trim().toLowerCase();
const address = (req) => ipKeyGenerator(req.ip);

/** Limits of failed logins. A device from which this account has logged in
 * before is counted by itself, so that nobody else can lock it out. */
function failureLimits({ store, known }) {
  const limits = {
    pair: [5, 15 * MINUTE, (req) => `${account(req)} ${address(req)}`],
    account: [50, HOUR, account], // from many addresses
    address: [100, DAY, address], // at many accounts
  };
  return Object.entries(limits).map(([name, [limit, windowMs, who]]) => {
    const options = { ...LIMIT, windowMs, limit, store: store(name) };
    return rateLimit({
      ...options,
      // hashed: no e-mail addresses in Redis, and keys of one length
      keyGenerator: (req) => sha256(known(req) ?? who(req)),
      // each is counted before its password is looked at, and uncounted
      // after any answer but 401: hundreds at once don't get past it
      skipSuccessfulRequests: true,
      requestWasSuccessful: (req, res) => res.statusCode !== 401,
    });
  });
}
// --8<-- [end:limits]

const LIMIT = {
  standardHeaders: 'draft-8',
  legacyHeaders: false,
  message: { error: 'too many attempts' },
};

function sha256(text) {
  return createHash('sha256').update(text).digest('base64url');
}

// --8<-- [start:login]
export function createApp(deps = {}) {
  const { users = new Map(), N, check = passwordsOf({ users, N }) } = deps;
  const { secret = randomBytes(32), proxies = false } = deps;
  const { store = () => undefined } = deps; // see shared.mjs
  const { remember, known } = devicesOf({ secret, account });
  const app = express();
  app.set('trust proxy', proxies);

  app.post(
    '/login',
    // wide, since all behind one address share it; before anything is parsed
    rateLimit({
      ...LIMIT,
      windowMs: MINUTE,
      limit: 300,
      store: store('flood'),
    }),
    express.json({ limit: '1kb' }),
    requireText,
    ...failureLimits({ store, known }),
    async (req, res) => {
      if (!(await check(account(req), req.body.password))) {
        return res.status(401).json({ error: 'wrong e-mail or password' });
      }
      remember(req, res);
      return res.sendStatus(204);
    },
  );
  return app;
}

function requireText(req, res, next) {
  const { email, password } = req.body ?? {};
  if (typeof email === 'string' && typeof password === 'string')
    return next();
  return res.status(400).json({ error: 'email and password, as text' });
}
// --8<-- [end:login]
