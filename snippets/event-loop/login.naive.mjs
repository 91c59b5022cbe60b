// --8<-- [start:login]
import express from 'express';
import { scryptSync, timingSafeEqual } from 'node:crypto';

const NOBODY = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

export function createApp({ users = new Map(), N = 2 ** 17 } = {}) {
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  // --8<-- [start:handler]
  app.post('/login', express.json(), async (req, res) => {
    const { email, password } = req.body;
    const { salt, hash } = users.get(email) ?? NOBODY;
    // `async` above changes nothing: every request waits until this returns.
    const options = { N, r: 8, p: 1, maxmem: 256 * N * 8 };
    const given = scryptSync(password, salt, 32, options);
    res.sendStatus(timingSafeEqual(given, hash) ? 204 : 401);
  });
  // --8<-- [end:handler]
  return app;
}
// --8<-- [end:login]
