// --8<-- [start:login]
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { passwordsOf } from './passwords.mjs';

export function createApp(deps = {}) {
  const { users = new Map(), N, check = passwordsOf({ users, N }) } = deps;
  const app = express();
  app.set('trust proxy', deps.proxies ?? false);
  app.use(rateLimit({ windowMs: 15 * 60 * 1000, max: deps.max ?? 100 }));

  app.post('/login', express.json(), async (req, res) => {
    const { email, password } = req.body;
    if (!users.has(email)) {
      return res.status(401).json({ error: 'no such account' });
    }
    if (!(await check(email, password))) {
      return res.status(401).json({ error: 'wrong password' });
    }
    return res.sendStatus(204);
  });
  return app;
}
// --8<-- [end:login]
