// --8<-- [start:health]
import { Router } from 'express';
import { createPino } from './loggers.mjs';

/** Live: does the process answer? Ready: should it be sent traffic now? */
export function createHealth(options = {}) {
  const { leaving = new AbortController().signal } = options;
  const answers = asked(options);
  const health = Router();
  // Asks nobody: a restart does not mend a database.
  health.get('/livez', (req, res) => res.json({ status: 'ok' }));

  health.get('/readyz', async (req, res) => {
    const found = [...(await answers())];
    if (leaving.aborted) found.push(['process', 'leaving']);
    const ready = found.every(([, state]) => state === 'ok');
    res.set('Cache-Control', 'no-store');
    res.status(ready ? 200 : 503).json(Object.fromEntries(found));
  });
  return health;
}
// --8<-- [end:health]

// --8<-- [start:asked]
function asked({ checks = {}, logger = createPino(), ...times }) {
  const { timeoutMs = 1000, freshMs = 1000 } = times;
  async function ask([name, check]) {
    const late = AbortSignal.timeout(timeoutMs);
    const expired = new Promise((_, reject) => {
      late.onabort = () => reject(late.reason);
    });
    try {
      await Promise.race([check({ signal: late }), expired]);
      return [name, 'ok'];
    } catch (error) {
      // why is for the log, not for whoever asks
      logger.error({ error, check: name }, 'not ready');
      return [name, 'down'];
    }
  }

  let answers; // shared for a moment: whoever asks, a query is not free
  let at = -Infinity;
  return () => {
    const now = performance.now();
    if (now - at < freshMs) return answers;
    at = now;
    answers = Promise.all(Object.entries(checks).map(ask));
    return answers;
  };
}
// --8<-- [end:asked]
