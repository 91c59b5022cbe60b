import express from 'express';
import { requestDeadline } from '../resilience/deadline.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { identify } from './auth.mjs';
import { crossOrigin } from './cors.mjs';
import { parseOrder as parse } from './order.mjs';
import { pricesIn } from './prices.mjs';
import { probes } from './probes.mjs';
import { notFound, problems } from './problem.mjs';
import { ordersRouter } from './router.mjs';
import { createStore } from './store.mjs';

// --8<-- [start:app]
/** Orders over HTTP. What it does not get stands in memory, and without
 * `authenticate` nobody is let in.
 * @param {{ authenticate?: Function, store?: object, parseOrder?: Function,
 *   priceOf?: Function, origins?: string[], requestMs?: number,
 *   signal?: AbortSignal, leaving?: AbortSignal, logger?: Console }} deps */
export function createApp(deps = {}) {
  const { store = createStore(), parseOrder = parse } = deps;
  const { priceOf = pricesIn(), origins = [] } = deps;
  const { signal, leaving = signal, logger = console } = deps;
  const { authenticate = () => null } = deps; // nobody, until you say who
  const { requestMs = 10_000 } = deps;
  numbers({ requestMs }, WAIT);
  const app = express();
  app.disable('x-powered-by');

  app.use(probes({ store, leaving, logger }));
  // above whatever may refuse, or a page cannot read why; it also answers
  // preflights, which carry no token
  app.use(crossOrigin(origins));
  app.use(requestDeadline({ ms: requestMs }));
  app.use(identify(authenticate)); // who is unknown is not parsed
  const type = ['application/json', 'application/merge-patch+json'];
  app.use(express.json({ limit: '16kb', type }));
  app.use('/orders', ordersRouter({ store, parseOrder, priceOf }));
  app.use(notFound);
  app.use(problems({ logger })); // the last one, below all that may throw
  return app;
}
// --8<-- [end:app]
