// --8<-- [start:revocations]
import { numbers } from '../validation/numbers.mjs';
import { away } from './unavailable.mjs';

/** Sessions whose access tokens must not be used though they are valid. An
 * entry outlives every such token: the leeway counts twice, since the clock
 * of who verifies may be behind by as much. In seconds. Without a `redis`
 * each process knows only its own.
 * @param {{ redis?: import('ioredis').Redis, lifetime?: number,
 *   leeway?: number, now?: () => number }} deps */
export function createRevocations(deps) {
  const { redis, lifetime = 300, leeway = 5, now = Date.now } = deps;
  numbers({ lifetime });
  numbers({ leeway }, { least: 0 });
  const life = lifetime + 2 * leeway;
  const list = redis ? inRedis(redis, life) : inMemory(life, now);
  return {
    revoke: list.add,
    // a token of no session could never be taken back
    revoked: async ({ sid }) => !sid || list.has(sid),
  };
}

function inRedis(redis, life) {
  const key = (sid) => `revoked:${sid}`;
  return {
    add: (sid) => redis.set(key(sid), 1, 'EX', life).catch(away),
    has: async (sid) => (await redis.exists(key(sid)).catch(away)) === 1,
  };
}
// --8<-- [end:revocations]

// --8<-- [start:memory]
function inMemory(life, now) {
  const ends = new Map(); // sid -> ms, the first to end first
  return {
    async add(sid) {
      for (const [old, end] of ends) {
        if (end > now()) break;
        ends.delete(old);
      }
      ends.delete(sid); // it goes to the end of the line
      ends.set(sid, now() + life * 1000);
    },
    has: async (sid) => ends.get(sid) > now(),
  };
}
// --8<-- [end:memory]
