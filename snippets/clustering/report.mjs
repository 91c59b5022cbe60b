import express from 'express';
import { availableParallelism } from 'node:os';
// --8<-- [start:report]
import { Piscina } from 'piscina';
import { mapBounded } from '../event-loop/bounded.mjs';

const filename = new URL('primes.mjs', import.meta.url).href;

/** Cuts a heavy request into pieces for all threads.
 * @param {{ threads?: number, to?: number, atOnce?: number,
 *   patience?: number, signal?: AbortSignal, logger?: Console }} deps */
export function createApp(deps = {}) {
  const { signal, threads = availableParallelism(), to = 1e6 } = deps;
  const { atOnce = 4, patience = 10_000, logger = console } = deps;
  const pool = new Piscina({ filename, maxThreads: threads });
  signal?.addEventListener('abort', () => pool.destroy());
  pool.on('error', (error) => logger.error({ error }, 'between two tasks'));
  const run = (piece, stop) => pool.run(piece, { signal: stop });
  let pending = 0;

  const app = express();
  app.get('/health', (req, res) => res.json({ worker: process.pid }));
  app.get('/report', async (req, res) => {
    if (pending >= atOnce) return res.sendStatus(503);
    const step = Math.ceil(to / (8 * threads)); // pieces differ in cost
    const pieces = Array.from({ length: 8 * threads }, (_, i) => {
      return { from: 2 + i * step, to: Math.min(2 + (i + 1) * step, to) };
    });
    pending += 1;
    const late = AbortSignal.timeout(patience); // milliseconds
    try {
      const counts = await mapBounded(pieces, threads, run, { signal: late });
      return res.json({ primes: counts.reduce((sum, n) => sum + n) });
    } catch (error) {
      if (!late.aborted) throw error;
      return res.sendStatus(503);
    } finally {
      pending -= 1;
    }
  });
  return app;
}
// --8<-- [end:report]
