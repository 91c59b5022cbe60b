import express from 'express';
import { rateLimit } from 'express-rate-limit';

export function createApp() {
  const app = express();
  // The proxy, and nobody else: what stands left of the first address that it
  // does not know, the client may have written.
  app.set('trust proxy', '127.0.0.2');
  app.use(
    // With no key of its own, the limiter takes an IPv6 network for one client;
    // and with its checks on, it says what is wrong with the set-up.
    rateLimit({ windowMs: 60_000, limit: 10 }),
  );
  app.get('/products', (req, res) => res.json([{ sku: 'tea' }]));
  return app;
}
