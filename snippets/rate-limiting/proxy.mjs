// --8<-- [start:proxy]
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { numbers } from '../validation/numbers.mjs';

/** `proxies`: addresses or networks of your own proxies, e.g. '10.0.0.5' or
 * ['10.1.0.0/16']; false if clients connect to this process themselves.
 * @param {{ limit?: number, proxies?: false | string | string[] }} deps */
export function createApp({ limit = 10, proxies = '127.0.0.2' } = {}) {
  numbers({ limit });
  const app = express();
  // Express walks X-Forwarded-For from the right and stops at the first
  // address that is not one of these: what a client made up lies beyond it.
  app.set('trust proxy', proxies);
  app.use(rateLimit({ windowMs: 60_000, limit }));
  app.get('/', (req, res) => res.json({ you: req.ip }));
  return app;
}
// --8<-- [end:proxy]
