// --8<-- [start:quotes]
import express from 'express';
import { createShedding } from './bulkhead.mjs';
import { errorHandler } from './errors.mjs';
import { createWork } from './work.mjs';

/** One at work and ten waiting: who gets a place has his answer before he
 * loses patience. The others know at once.
 * @param {{ work?: () => Promise<void>, logger?: object, atOnce?: number,
 *   waiting?: number, patienceMs?: number }} [deps] */
export function createApp({ work = createWork(), logger, ...limits } = {}) {
  const app = express();
  const ten = { atOnce: 1, waiting: 10, patienceMs: 250, ...limits };
  app.get('/health', (req, res) => res.sendStatus(200)); // is not shed
  app.use(createShedding(ten));
  app.get('/quote', async (req, res) => {
    await work();
    res.json({ cents: 900 });
  });
  app.use(errorHandler({ logger }));
  return app;
}
// --8<-- [end:quotes]
