// --8<-- [start:probes]
import { Router } from 'express';
import { setTimeout as sleep } from 'node:timers/promises';
import { document } from './openapi.mjs';
import { methods } from './problem.mjs';

/** Alive asks nothing. Ready asks the store, and takes an error or silence
 * for a no: an outage is not a fault of this process. */
export function probes({ store, leaving, logger, patienceMs = 1000 }) {
  const router = Router();
  const answers = { '/health': alive, '/ready': ready, '/openapi.json': api };
  for (const [path, answer] of Object.entries(answers)) {
    router.route(path).get(answer).all(methods('GET', 'HEAD'));
  }
  return router;

  function alive(req, res) {
    res.json({ ok: true });
  }
  function api(req, res) {
    res.json(document);
  }
  async function ready(req, res) {
    const late = sleep(patienceMs, false, { ref: false });
    const ok = !leaving?.aborted && (await Promise.race([pinged(), late]));
    res.status(ok ? 200 : 503).json({ ok });
  }
  async function pinged() {
    try {
      return Boolean(await store.ping());
    } catch (error) {
      logger.error({ error }, 'not ready');
      return false;
    }
  }
}
// --8<-- [end:probes]
