// --8<-- [start:ready]
import express from 'express';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { withEnd } from './end.mjs';

/** `/live` asks nobody: a restart mends no database. `/ready` asks whether a
 * request would get a connection now; many probes are one question.
 * @param {{ db: { query: Function }, mostMs?: number,
 *   leaving?: AbortSignal }} deps */
export function createReady({ db, leaving, mostMs = 1_000 }) {
  numbers({ mostMs }, { least: 1, most: WAIT.most });
  let asking;
  async function ask() {
    const signal = AbortSignal.timeout(mostMs);
    try {
      await withEnd(db.query('SELECT 1', [], { signal }), signal);
      return true;
    } catch {
      return false;
    }
  }
  // forgotten a turn later: `ask` may have ended before `asking` is set
  const once = () => ask().finally(() => (asking = undefined));
  const app = express.Router();
  app.get('/live', (req, res) => res.json({ live: true }));
  app.get('/ready', async (req, res) => {
    const ready = !leaving?.aborted && (await (asking ??= once()));
    res.status(ready ? 200 : 503).json({ ready });
  });
  return app;
}
// --8<-- [end:ready]
