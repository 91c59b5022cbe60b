// --8<-- [start:flush]
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { drainable } from '../clustering/shutdown.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

/** To be called before the server listens. Pino's destinations write what
 * they hold when the process exits by itself, so for Pino there is nothing to
 * `flush`; for a tracer it is `shutdown`. All in all 14 s by default. */
export function endOn(signal, deps) {
  const { logger, server, flush = () => {} } = deps;
  const { drainMs = 8000, patience = 5000 } = deps;
  numbers({ drainMs, patience }, WAIT);
  const drain = drainable(server, { patienceMs: drainMs });
  async function leave() {
    await drain(); // it cuts an answer that never ends,
    await sleep(100); // and that is a line too, some turns later
    setTimeout(() => process.exit(1), patience).unref(); // a sink that hangs
    logger.info('stopped');
    await flush(logger);
    process.exit(0);
  }
  const failed = (error) => {
    logger.error({ error }, 'not all was flushed');
    process.exit(1);
  };
  let left; // a signal may come twice: from npm, and to the group
  process.on(signal, () => (left ??= leave().catch(failed)));
}

/** Nothing is written by itself; since 3.19 `finish` is told when it is. */
export async function flushWinston(logger) {
  const written = once(logger, 'finish');
  logger.end();
  await written;
}
// --8<-- [end:flush]
