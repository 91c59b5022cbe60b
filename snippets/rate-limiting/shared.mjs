// --8<-- [start:stores]
import { MemoryStore } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { connect } from './connect.mjs';

/** Gives `store(name)`: in Redis if there is a `url`, else in memory. */
export async function stores({ url, signal, logger = console } = {}) {
  if (!url) return () => new MemoryStore();
  const redis = await connect({ url, signal, logger });
  const sendCommand = (...args) => redis.call(...args);
  return (name) => {
    const shared = new RedisStore({ prefix: `rl:${name}:`, sendCommand });
    return new Fallback(shared, logger);
  };
}
// --8<-- [end:stores]

// --8<-- [start:fallback]
/** Counts in Redis, and in this process while Redis fails: a limit that is
 * too wide is better than none, and better than an outage. */
class Fallback {
  #shared;
  #logger;
  #away = false;
  #local = new MemoryStore();

  constructor(shared, logger) {
    this.#shared = shared;
    this.#logger = logger;
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
      const answer = await this.#shared[method](key);
      this.#away = false;
      return answer;
    } catch (error) {
      if (!this.#away) this.#logger.error({ error }, 'counting limits here');
      this.#away = true; // says so once an outage, not once a request
      return this.#local[method](key);
    }
  }
}
// --8<-- [end:fallback]
