// --8<-- [start:report]
import express from 'express';
import { availableParallelism } from 'node:os';
import { Piscina } from 'piscina';

const filename = new URL('primes.mjs', import.meta.url).href;

/** Cuts one heavy request into pieces that the threads share. */
export function createApp(deps = {}) {
  const { signal, threads = availableParallelism(), to = 1e6 } = deps;
  const pool = new Piscina({ filename, maxThreads: threads });
  signal?.addEventListener('abort', () => pool.destroy());

  const app = express();
  app.get('/health', (req, res) => res.json({ worker: process.pid }));

  app.get('/report', async (req, res) => {
    // more pieces than threads, since they differ in cost
    const step = Math.ceil(to / (8 * threads));
    const pieces = [];
    for (let from = 2; from < to; from += step) {
      pieces.push(pool.run({ from, to: Math.min(from + step, to) }));
    }
    const counts = await Promise.all(pieces);
    res.json({ primes: counts.reduce((sum, count) => sum + count) });
  });
  return app;
}
// --8<-- [end:report]
