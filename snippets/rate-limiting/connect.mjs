// --8<-- [start:connect]
import { Redis } from 'ioredis';

/** A connected client that fails soon. Rejects if Redis does not answer: a
 * store that is made without it would stay broken. */
export async function connect({ url, signal, logger = console }) {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableOfflineQueue: false, // the default keeps requests waiting
    maxRetriesPerRequest: 0,
    commandTimeout: 250, // ms, for a Redis that is there and silent
  });
  redis.on('error', (error) => logger.error({ error }, 'Redis'));
  signal?.addEventListener('abort', () => redis.disconnect());
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect(); // or it would go on trying
    throw error;
  }
  return redis;
}
// --8<-- [end:connect]
