import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { Problem, problems } from '../rest-apis/problem.mjs';
import { numbers } from '../validation/numbers.mjs';
import { addressed } from './address.mjs';
import { BoundedStore } from './memory.mjs';

// --8<-- [start:api]
const tea = { sku: 'tea', name: 'Green tea', priceCents: 799, stock: 12 };
const inMemory = { list: async () => [tea] };

/** `proxies`: the addresses of your own proxies, or false if there are none.
 * `store(name)`: one limiter's store, see shared.mjs; memory by default.
 * @param {{ limit?: number, proxies?: false | string | string[],
 *   store?: Function, products?: { list: Function } }} deps */
export function createApp(deps = {}) {
  const { proxies = false, store = () => new BoundedStore() } = deps;
  const { products = inMemory, limit = 100, logger } = deps;
  numbers({ limit });
  const app = express();
  app.set('trust proxy', proxies);
  // above the limiter, so that probes are neither counted nor refused
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.use(
    addressed,
    rateLimit({
      windowMs: 60_000,
      limit,
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      store: store('api'),
      handler: () => {
        throw new Problem(429, 'Too many requests.');
      },
    }),
  );
  // below it: what is refused is not parsed
  app.use(express.json({ limit: '10kb' }));
  app.get('/products', async (req, res) => res.json(await products.list({})));
  app.use(problems({ logger })); // Express prints what the parser quotes
  return app;
}
// --8<-- [end:api]
