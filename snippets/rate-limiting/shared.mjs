// --8<-- [start:stores]
import { RedisStore } from 'rate-limit-redis';
import { connect } from './connect.mjs';
import { BoundedStore } from './memory.mjs';

/** Gives `store(name)`: in Redis if there is a `url`, else in memory.
 * @param {{ url?: string, signal?: AbortSignal, logger?: Console }} deps */
export async function stores({ url, ...options } = {}) {
  if (!url) return () => new BoundedStore();
  const { logger = console } = options;
  const redis = await connect({ url, ...options });
  const sendCommand = (...args) => redis.call(...args);
  return (name) => {
    const shared = new SharedStore({ prefix: `rl:${name}:`, sendCommand });
    return new Fallback(shared, logger);
  };
}

// DECR alone would make a key that is gone anew, and it would never expire.
const GIVE_BACK = `
  if tonumber(redis.call('GET', KEYS[1]) or 0) > 0 then
    redis.call('DECR', KEYS[1])
  end`;

class SharedStore extends RedisStore {
  decrement(key) {
    const command = ['EVAL', GIVE_BACK, '1', this.prefixKey(key)];
    return this.sendCommand({ command });
  }
}
// --8<-- [end:stores]

// --8<-- [start:fallback]
/** Counts in Redis, and in this process while Redis fails: a limit that is
 * too wide is better than none, and better than an outage. */
class Fallback {
  #shared;
  #logger;
  #options;
  #loaded;
  #away = false;
  #local = new BoundedStore();

  constructor(shared, logger) {
    this.#shared = shared;
    this.#logger = logger;
    this.prefix = shared.prefix; // tells the limiters' keys apart
  }

  init(options) {
    this.#options = options;
    this.#local.init(options);
    return (this.#loaded = this.#shared.init(options));
  }

  increment = (key) => this.#either('increment', key);
  decrement = (key) => this.#either('decrement', key);
  resetKey = (key) => this.#either('resetKey', key);

  async #either(method, key) {
    try {
      await (this.#loaded ??= this.#shared.init(this.#options));
      const answer = await this.#shared[method](key);
      this.#away = false;
      return answer;
    } catch (error) {
      this.#loaded = undefined; // it would keep a script that did not load
      if (!this.#away) this.#logger.error({ error }, 'counting limits here');
      this.#away = true; // says so once an outage, not once a request
      return this.#local[method](key);
    }
  }
}
// --8<-- [end:fallback]
