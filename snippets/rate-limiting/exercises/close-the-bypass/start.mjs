import express from 'express';
import { rateLimit } from 'express-rate-limit';

export function createApp() {
  const app = express();
  app.set('trust proxy', true);
  app.use(
    rateLimit({
      windowMs: 60_000,
      limit: 10,
      keyGenerator: (req) => req.ip,
      validate: false,
    }),
  );
  app.get('/products', (req, res) => res.json([{ sku: 'tea' }]));
  return app;
}
