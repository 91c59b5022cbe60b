// --8<-- [start:revocations]
import { away } from './unavailable.mjs';

/** Sessions whose access tokens must not be used though they are valid. An
 * entry lives as long as a verifier could take such a token, leeway and all;
 * in seconds. Without a `redis` each process knows only its own. */
export function createRevocations({ redis, lifetime = 300, leeway = 5 }) {
  const life = lifetime + leeway;
  if (!redis) return inMemory(life);
  const key = (sid) => `revoked:${sid}`;
  return {
    revoke: (sid) => redis.set(key(sid), 1, 'EX', life).catch(away),
    revoked: async ({ sid }) =>
      (await redis.exists(key(sid)).catch(away)) === 1,
  };
}

function inMemory(life) {
  const sids = new Set();
  return {
    async revoke(sid) {
      sids.add(sid);
      setTimeout(() => sids.delete(sid), life * 1000).unref();
    },
    revoked: async ({ sid }) => sids.has(sid),
  };
}
// --8<-- [end:revocations]
