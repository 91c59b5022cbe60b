// --8<-- [start:report]
import express from 'express';
import { Piscina } from 'piscina';
import { WAIT, numbers } from '../validation/numbers.mjs';

const WORKER = new URL('report.worker.mjs', import.meta.url).href;

/** @param {{ signal?: AbortSignal, worker?: string, threads?: number,
 *   waiting?: number, patience?: number, logger?: object }} [deps] in ms */
export function createApp(deps = {}) {
  const { signal, worker = WORKER, threads = 1, waiting = 4 } = deps;
  const { patience = 10_000, logger = console } = deps;
  numbers({ threads, waiting, patience }, WAIT);
  const pool = new Piscina({ filename: worker, maxThreads: threads });
  signal?.addEventListener('abort', () => pool.destroy());
  pool.on('error', (error) => logger.error({ error }, 'between two tasks'));
  let pending = 0;
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));
  app.get('/report', async (req, res) => {
    // Counted here: the pool's maxQueue does not count tasks with a signal.
    if (pending >= threads + waiting) {
      return res.status(503).set('Retry-After', '5').json({ error: 'busy' });
    }
    pending += 1;
    const stop = new AbortController(); // ends the thread as well
    const late = setTimeout(() => stop.abort(), patience);
    res.once('close', () => stop.abort()); // nobody waits any more
    try {
      const task = { runs: 4_000_000 };
      return res.json(await pool.run(task, { signal: stop.signal }));
    } catch (error) {
      if (!stop.signal.aborted) throw error;
      return res.status(503).json({ error: 'not in time' });
    } finally {
      clearTimeout(late);
      pending -= 1;
    }
  });
  return app;
}
// --8<-- [end:report]
