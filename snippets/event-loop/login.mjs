// --8<-- [start:login]
import express from 'express';
import { scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { problems } from '../rest-apis/problem.mjs';
import { numbers } from '../validation/numbers.mjs';

const scryptAsync = promisify(scrypt);
const NOBODY = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

/** `atOnce` stays below the pool's size, so that a thread is left for files
 * and DNS. Each hash takes 128 * N * r bytes (128 MiB) while it runs.
 * @param {{ users?: { get(email: string): unknown }, N?: number,
 *   atOnce?: number, logger?: object }} [deps] */
export function createApp(deps = {}) {
  const { users = new Map(), N = 2 ** 17, atOnce = 2, logger } = deps;
  numbers({ N, atOnce });
  const options = { N, r: 8, p: 1, maxmem: 256 * N * 8 };
  let hashing = 0;
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));
  // --8<-- [start:handler]
  app.post('/login', express.json({ limit: '1kb' }), async (req, res) => {
    const { email, password } = req.body ?? {};
    if (typeof email !== 'string' || typeof password !== 'string') {
      return res.status(400).json({ error: 'email and password, as text' });
    }
    if (hashing >= atOnce) {
      return res.status(503).set('Retry-After', '1').json({ error: 'busy' });
    }
    hashing += 1;
    try {
      const { salt, hash } = (await users.get(email)) ?? NOBODY;
      const given = await scryptAsync(password, salt, 32, options);
      return res.sendStatus(timingSafeEqual(given, hash) ? 204 : 401);
    } finally {
      hashing -= 1;
    }
  });
  // --8<-- [end:handler]
  app.use(problems({ logger })); // Express prints what the parser quotes
  return app;
}
// --8<-- [end:login]
