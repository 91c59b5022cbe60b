import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

// --8<-- [start:lease]
// What is granted counts at once, whether it is used or not: so all leases
// together never exceed the limit.
const LEASE = `
  redis.call('SET', KEYS[1], 0, 'PX', ARGV[2], 'NX')
  local left = ARGV[1] - redis.call('GET', KEYS[1])
  local granted = math.max(0, math.min(tonumber(ARGV[3]), left))
  if granted > 0 then redis.call('INCRBY', KEYS[1], granted) end
  return { granted, redis.call('PTTL', KEYS[1]) }`;
// --8<-- [end:lease]

// --8<-- [start:leases]
/** A limit for very busy keys. Each process takes `batch` permits at a time
 * from Redis, spends them alone, and remembers until when a key is refused.
 * While Redis fails, keys are refused, or let in with `open: true`.
 * @param {{ redis: import('ioredis').Redis, limit: number, windowMs: number,
 *   batch?: number, most?: number, open?: boolean, patienceMs?: number,
 *   prefix?: string, logger?: Console }} deps */
export function createLeases({ redis, limit, windowMs, ...deps }) {
  const { batch = 100, most = 10_000, open = false } = deps;
  const { patienceMs = 250, prefix = 'lease:', logger = console } = deps;
  numbers({ limit, batch, most });
  numbers({ windowMs, patienceMs }, { least: 1, most: WAIT.most });
  const held = new Map(); // of each key { left, until }, `until` in ms
  const asking = new Map(); // one question a key, for all who wait

  const hold = (key, left, ms) => {
    held.delete(key); // so that the oldest comes first
    held.set(key, { left, until: performance.now() + ms, refused: !left });
    const [oldest] = held.keys(); // its permits are lost, never doubled
    if (held.size > most) held.delete(oldest);
  };

  async function renew(key) {
    const asked = Promise.try(() =>
      redis.eval(LEASE, 1, prefix + key, limit, windowMs, batch),
    );
    try {
      const signal = AbortSignal.timeout(patienceMs);
      const [left, ms] = await withEnd(asked, signal);
      hold(key, left, Math.max(1, ms));
    } catch (error) {
      logger.error({ error }, 'no leases');
      hold(key, open ? Infinity : 0, 1000); // then it asks again
    } finally {
      asking.delete(key);
    }
  }
  // --8<-- [end:leases]

  // --8<-- [start:lease-take]
  async function take(key) {
    for (;;) {
      const lease = held.get(key);
      const waitMs = Math.ceil((lease?.until ?? 0) - performance.now());
      // until the window ends, nobody has to ask Redis about this key
      if (waitMs > 0 && lease.refused) return { allowed: false, waitMs };
      if (waitMs > 0 && lease.left > 0) {
        lease.left -= 1;
        return { allowed: true, waitMs: 0 };
      }
      if (!asking.has(key)) asking.set(key, renew(key));
      await asking.get(key);
    }
  }
  return { take };
}
// --8<-- [end:lease-take]
