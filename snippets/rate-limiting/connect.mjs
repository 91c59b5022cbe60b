// --8<-- [start:connect]
import { Redis } from 'ioredis';

/** A connected client that fails soon and follows a failover. Rejects if
 * Redis does not answer: a store made without it would stay broken.
 * @param {{ url: string, signal?: AbortSignal, logger?: Console,
 *   tries?: number, patienceMs?: number }} options */
export async function connect(options) {
  const { url, signal, logger = console, tries = 3 } = options;
  const { patienceMs = 250 } = options; // with a Redis that is silent
  if (!url) throw new TypeError('no url: ioredis would take localhost');
  signal?.throwIfAborted();
  const redis = new Discreet(url, {
    lazyConnect: true,
    enableOfflineQueue: false, // the default keeps requests waiting
    maxRetriesPerRequest: 0, // and sends again what may have been done
    commandTimeout: patienceMs,
    socketTimeout: 4 * patienceMs, // then it tries a new connection
    // The primary has become a replica: the address may lead elsewhere now.
    reconnectOnError: ({ message }) => /READONLY|MASTERDOWN/.test(message),
  });
  let reason;
  redis.on('error', (error) => {
    reason = error;
    logger.error({ error }, 'Redis');
  });
  signal?.addEventListener('abort', () => redis.disconnect());
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect(); // or it would go on trying
    signal?.throwIfAborted();
    // a process that starts may stall for longer than it waits
    const late = /Command timed out|Socket timeout/.test(reason?.message);
    if (late && tries > 1) return connect({ ...options, tries: tries - 1 });
    throw reason ?? error; // which only says that it is closed
  }
  return redis;
}
// --8<-- [end:connect]

/** Its errors go to logs: without the `command` that ioredis puts into them,
 * with all that was sent, such as a session's id, an address, a password. */
class Discreet extends Redis {
  sendCommand(command, ...more) {
    const { reject } = command;
    command.reject = (error) => {
      delete error.command;
      reject(error);
    };
    return super.sendCommand(command, ...more);
  }
}
