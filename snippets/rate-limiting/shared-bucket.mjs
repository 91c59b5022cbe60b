import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { createBucket } from './bucket.mjs';

// --8<-- [start:script]
// One script is one step, and Redis's clock is one clock for all processes.
const TAKE = `
  local capacity, per_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
  local cost, time = tonumber(ARGV[3]), redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local seen = redis.call('HMGET', KEYS[1], 'tokens', 'at')
  local tokens = tonumber(seen[1]) or capacity
  local at = tonumber(seen[2]) or now
  tokens = math.min(capacity, tokens + math.max(0, now - at) * per_ms)
  local allowed = tokens >= cost
  if allowed then tokens = tokens - cost end
  redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
  redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / per_ms) + 1000)
  if allowed then return { 1, 0 } end
  return { 0, math.ceil((cost - tokens) / per_ms) }`;
// --8<-- [end:script]

// --8<-- [start:shared]
/** The bucket in Redis, for all processes. While Redis fails, each of the
 * `processes` counts with its share of the limit: never more than all of it.
 * @param {{ redis: import('ioredis').Redis, capacity: number,
 *   perSecond: number, processes?: number, patienceMs?: number,
 *   prefix?: string, logger?: Console }} deps */
export function createSharedBucket({ redis, capacity, perSecond, ...deps }) {
  const { processes = 1, patienceMs = 250, logger = console } = deps;
  const { prefix = 'bucket:' } = deps;
  numbers({ capacity, perSecond }, { above: 0 });
  numbers({ processes });
  numbers({ patienceMs }, { least: 1, most: WAIT.most });
  const share = {
    capacity: Math.max(1, capacity / processes),
    perSecond: perSecond / processes,
  };
  const alone = createBucket(share);
  let away = false;

  const limits = [capacity, perSecond / 1000];
  const ask = (key, cost) =>
    withEnd(
      Promise.try(() => redis.eval(TAKE, 1, prefix + key, ...limits, cost)),
      AbortSignal.timeout(patienceMs),
    );

  async function take(key, cost = 1) {
    numbers({ cost }, { above: 0 });
    if (cost > capacity) return { allowed: false, waitMs: Infinity };
    try {
      const [allowed, waitMs] = await ask(key, cost);
      away = false;
      return { allowed: allowed === 1, waitMs };
    } catch (error) {
      if (!away) logger.error({ error }, 'counting limits in this process');
      away = true; // says so once an outage, not once a request
      return alone.take(key, Math.min(cost, share.capacity));
    }
  }
  return { take };
}
// --8<-- [end:shared]
