// --8<-- [start:proxy]
import express from 'express';
import { rateLimit } from 'express-rate-limit';

export function createApp({ limit = 10 } = {}) {
  const app = express();
  app.set('trust proxy', true); // there was a warning, now it is gone
  app.use(rateLimit({ windowMs: 60_000, limit, validate: false }));
  app.get('/', (req, res) => res.json({ you: req.ip }));
  return app;
}
// --8<-- [end:proxy]
