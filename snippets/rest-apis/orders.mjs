// --8<-- [start:app]
import express from 'express';
import { identify } from './auth.mjs';
import { crossOrigin } from './cors.mjs';
import { document } from './openapi.mjs';
import { parseOrder as parse } from './order.mjs';
import { pricesIn } from './prices.mjs';
import { methods, notFound, problems } from './problem.mjs';
import { ordersRouter } from './router.mjs';
import { createStore } from './store.mjs';

export function createApp(deps = {}) {
  const { store = createStore(), parseOrder = parse, logger } = deps;
  const { priceOf = pricesIn(), origins = [], signal } = deps;
  const { authenticate = () => null } = deps; // nobody, until you say who
  const app = express();
  app.disable('x-powered-by');

  const probe = methods('GET', 'HEAD');
  app
    .get('/health', (req, res) => res.json({ ok: true }))
    .all('/health', probe);
  app.get('/ready', async (req, res) => {
    const ok = !signal?.aborted && (await store.ping());
    res.status(ok ? 200 : 503).json({ ok });
  });
  app.all('/ready', probe);
  app.get('/openapi.json', (req, res) => res.json(document));
  app.all('/openapi.json', probe);

  app.use(crossOrigin(origins)); // answers preflights, which carry no token
  app.use(identify(authenticate)); // who is unknown is not parsed
  const type = ['application/json', 'application/merge-patch+json'];
  app.use(express.json({ limit: '16kb', type }));
  app.use('/orders', ordersRouter({ store, parseOrder, priceOf }));
  app.use(notFound);
  app.use(problems({ logger })); // the last one, below all that may throw
  return app;
}
// --8<-- [end:app]
