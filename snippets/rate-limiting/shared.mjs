import { MemoryStore } from 'express-rate-limit';
import { Redis } from 'ioredis';
import { RedisStore } from 'rate-limit-redis';

// --8<-- [start:connect]
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

/** Gives `store(name)`: in Redis if there is a `url`, else in memory. */
export async function stores({ url, ...options } = {}) {
  if (!url) return () => new MemoryStore();
  const redis = await connect({ url, ...options });
  const sendCommand = (...args) => redis.call(...args);
  return (name) =>
    new Fallback(new RedisStore({ prefix: `rl:${name}:`, sendCommand }));
}
// --8<-- [end:connect]

// --8<-- [start:fallback]
/** Counts in Redis, and in this process while Redis fails: a limit that is
 * too wide is better than none, and better than an outage. */
class Fallback {
  #shared;
  #local = new MemoryStore();

  constructor(shared) {
    this.#shared = shared;
    this.prefix = shared.prefix; // tells the limiters' keys apart
  }

  async init(options) {
    this.#local.init(options);
    await this.#shared.init(options);
  }

  increment = (key) => this.#either('increment', key);
  decrement = (key) => this.#either('decrement', key);
  resetKey = (key) => this.#either('resetKey', key);

  async #either(method, key) {
    try {
      return await this.#shared[method](key);
    } catch {
      return this.#local[method](key);
    }
  }
}
// --8<-- [end:fallback]
