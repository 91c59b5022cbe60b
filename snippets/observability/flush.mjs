// --8<-- [start:flush]
import { once } from 'node:events';

/** Pino's destinations write what they hold when the process exits by itself,
 * so for Pino there is nothing to `flush`; for a tracer it is `shutdown`. */
export function endOn(signal, deps) {
  const { logger, server, flush = () => {}, patience = 5000 } = deps;
  process.once(signal, async () => {
    setTimeout(() => process.exit(1), patience).unref(); // a sink that hangs
    server.close();
    server.closeIdleConnections();
    await once(server, 'close'); // the last requests are lines too
    logger.info('stopped');
    await flush(logger);
    process.exit(0);
  });
}

/** Nothing is written by itself; since 3.19 `finish` is told when it is. */
export async function flushWinston(logger) {
  const written = once(logger, 'finish');
  logger.end();
  await written;
}
// --8<-- [end:flush]
