// --8<-- [start:health]
import { Router } from 'express';

/** Live: does the process answer? Ready: should it be sent traffic now? */
export function createHealth({
  checks = {},
  leaving = new AbortController().signal,
  timeoutMs = 1000,
} = {}) {
  const health = Router();
  // Asks nobody: a restart does not mend a database.
  health.get('/livez', (req, res) => res.json({ status: 'ok' }));

  health.get('/readyz', async (req, res) => {
    const found = await Promise.all(Object.entries(checks).map(ask));
    if (leaving.aborted) found.push(['process', 'leaving']);
    const ready = found.every(([, state]) => state === 'ok');
    res.set('Cache-Control', 'no-store');
    res.status(ready ? 200 : 503).json(Object.fromEntries(found));
  });

  async function ask([name, check]) {
    const late = AbortSignal.timeout(timeoutMs);
    const expired = new Promise((_, reject) => {
      late.onabort = () => reject(late.reason);
    });
    try {
      await Promise.race([check({ signal: late }), expired]);
      return [name, 'ok'];
    } catch {
      return [name, 'down']; // why is for the log, not for whoever asks
    }
  }
  return health;
}
// --8<-- [end:health]
