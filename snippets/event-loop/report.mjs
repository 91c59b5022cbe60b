// --8<-- [start:report]
import express from 'express';
import { Piscina } from 'piscina';

export function createApp({ signal, threads = 1, waiting = 4 } = {}) {
  // as many threads as cores may work; each has a heap of its own
  const filename = new URL('report.worker.mjs', import.meta.url).href;
  const pool = new Piscina({ filename, maxThreads: threads });
  signal?.addEventListener('abort', () => pool.destroy());
  let pending = 0;

  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.get('/report', async (req, res) => {
    // Counted here: the pool's maxQueue does not count tasks with a signal.
    if (pending >= threads + waiting) {
      return res.status(503).set('Retry-After', '5').json({ error: 'busy' });
    }
    pending += 1;
    const tooLate = AbortSignal.timeout(10_000); // ends the thread as well
    try {
      const report = await pool.run({ runs: 4_000_000 }, { signal: tooLate });
      return res.json(report);
    } catch (error) {
      if (!tooLate.aborted) throw error;
      return res.status(503).json({ error: 'took too long' });
    } finally {
      pending -= 1;
    }
  });
  return app;
}
// --8<-- [end:report]
