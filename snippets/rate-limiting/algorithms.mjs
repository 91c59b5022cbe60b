// Each gives a function: may this key go on now? `now` is a clock in ms.
import { numbers } from '../validation/numbers.mjs';

const steady = () => performance.now(); // Date.now() may be set back

// --8<-- [start:fixed-window]
/** One counter a key, which starts again with each window. */
export function fixedWindow({ limit, windowMs, now = Date.now }) {
  numbers({ limit, windowMs });
  const counters = new Map();
  return (key) => {
    const window = Math.floor(now() / windowMs);
    const seen = counters.get(key);
    const used = seen?.window === window ? seen.used : 0;
    if (used < limit) counters.set(key, { window, used: used + 1 });
    return used < limit;
  };
}
// --8<-- [end:fixed-window]

// --8<-- [start:sliding-log]
/** The time of each request that was let through: exact, `limit` numbers a
 * key. */
export function slidingLog({ limit, windowMs, now = Date.now }) {
  numbers({ limit, windowMs });
  const logs = new Map();
  return (key) => {
    const since = now() - windowMs;
    const log = (logs.get(key) ?? []).filter((time) => time > since);
    logs.set(key, log);
    if (log.length >= limit) return false;
    log.push(now());
    return true;
  };
}
// --8<-- [end:sliding-log]

// --8<-- [start:sliding-counter]
/** Two counters a key: the last window's counts for the share of it that the
 * sliding window still covers, as if its requests had come evenly. */
export function slidingCounter({ limit, windowMs, now = Date.now }) {
  numbers({ limit, windowMs });
  const counters = new Map();
  return (key) => {
    const window = Math.floor(now() / windowMs);
    const passed = (now() % windowMs) / windowMs;
    const seen = counters.get(key) ?? { window, used: 0, before: 0 };
    if (seen.window !== window) {
      seen.before = seen.window === window - 1 ? seen.used : 0;
      Object.assign(seen, { window, used: 0 });
    }
    counters.set(key, seen);
    if (seen.used + seen.before * (1 - passed) + 1 > limit) return false;
    seen.used += 1;
    return true;
  };
}
// --8<-- [end:sliding-counter]

// --8<-- [start:token-bucket]
/** `burst` tokens at most, `limit` new ones a window; `cost` are taken. */
export function tokenBucket(options) {
  const { limit, windowMs, burst = limit, now = steady } = options;
  numbers({ limit, windowMs, burst }, { above: 0 });
  const buckets = new Map();
  return (key, cost = 1) => {
    numbers({ cost }, { above: 0 }); // a negative one would fill the bucket
    const { tokens, at } = buckets.get(key) ?? { tokens: burst, at: now() };
    const refilled = tokens + ((now() - at) * limit) / windowMs;
    const available = Math.min(burst, refilled);
    const go = available >= cost;
    buckets.set(key, { tokens: available - (go ? cost : 0), at: now() });
    return go;
  };
}
// --8<-- [end:token-bucket]

// --8<-- [start:gcra]
/** The same bucket in one number a key: when it would be full again. */
export function gcra(options) {
  const { limit, windowMs, burst = limit, now = steady } = options;
  numbers({ limit, windowMs, burst }, { above: 0 });
  const each = windowMs / limit; // ms that one request costs
  const fullAt = new Map();
  return (key, cost = 1) => {
    numbers({ cost }, { above: 0 });
    const full = Math.max(fullAt.get(key) ?? 0, now()) + cost * each;
    if (full - now() > burst * each + 0.001) return false; // ms, for rounding
    fullAt.set(key, full);
    return true;
  };
}
// --8<-- [end:gcra]
