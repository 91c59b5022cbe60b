// --8<-- [start:health]
import { Router } from 'express';
import { WAIT, numbers } from '../validation/numbers.mjs';
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
  numbers({ timeoutMs, freshMs }, WAIT);
  const all = Object.entries(checks);
  const asks = all.map(([name, check]) => [name, inTime(check, timeoutMs)]);
  async function ask([name, answer]) {
    try {
      const found = await answer();
      // of fetch() too: a refusal is an answer, and no error
      if (found === false || found?.ok === false) throw new Error('not ok');
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
    answers = Promise.all(asks.map(ask));
    return answers;
  };
}
// --8<-- [end:asked]

// --8<-- [start:in-time]
/** The check's answer, or a rejection when it is late; also when it throws
 * before it has promised anything. Of those that hang, three are enough. */
function inTime(check, timeoutMs) {
  if (typeof check !== 'function') throw new TypeError('check: no function');
  let hanging = 0;
  return async () => {
    if (hanging === 3) throw new Error('three checks hang');
    const late = AbortSignal.timeout(timeoutMs);
    hanging += 1;
    const answer = (async () => check({ signal: late }))();
    const expired = new Promise((_, reject) => {
      late.onabort = () => reject(late.reason);
    });
    return Promise.race([answer.finally(() => (hanging -= 1)), expired]);
  };
}
// --8<-- [end:in-time]
