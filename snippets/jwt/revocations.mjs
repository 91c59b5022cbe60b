// --8<-- [start:revocations]
import { away } from './unavailable.mjs';

/** Sessions whose access tokens must not be used though they are valid. An
 * entry lives as long as such a token could, `lifetime` seconds. Without a
 * `redis` each process knows only its own. */
export function createRevocations({ redis, lifetime = 300 }) {
  if (!redis) return inMemory(lifetime);
  const key = (sid) => `revoked:${sid}`;
  return {
    revoke: (sid) => redis.set(key(sid), 1, 'EX', lifetime).catch(away),
    revoked: async ({ sid }) =>
      (await redis.exists(key(sid)).catch(away)) === 1,
  };
}

function inMemory(lifetime) {
  const sids = new Set();
  return {
    async revoke(sid) {
      sids.add(sid);
      setTimeout(() => sids.delete(sid), lifetime * 1000).unref();
    },
    revoked: async ({ sid }) => sids.has(sid),
  };
}
// --8<-- [end:revocations]
