// --8<-- [start:bucket]
import { numbers } from '../validation/numbers.mjs';

const OTHERS = Symbol('who comes when all places are taken');
const clock = () => performance.now(); // never goes back, as Date.now() may

/** A token bucket for each key, without timers: `capacity` at once,
 * `perSecond` in the long run. It keeps `most` keys; who comes when none of
 * them can be forgotten shares one bucket with all who do.
 * @param {{ capacity: number, perSecond: number, most?: number,
 *   now?: () => number }} limits */
export function createBucket({ capacity, perSecond, ...more }) {
  const { most = 50_000, now = clock } = more;
  numbers({ capacity, perSecond }, { above: 0 });
  numbers({ most });
  const buckets = new Map(); // the one that was used longest ago comes first

  const level = (name) => {
    const { tokens = capacity, at = now() } = buckets.get(name) ?? {};
    return Math.min(capacity, tokens + ((now() - at) * perSecond) / 1000);
  };
  const keep = (name, tokens) => {
    buckets.delete(name);
    buckets.set(name, { tokens, at: now() });
  };
  const place = (key) => {
    if (buckets.has(key)) return key;
    for (const oldest of buckets.keys()) {
      if (level(oldest) < capacity) break;
      buckets.delete(oldest); // full again: as if it had never come
    }
    return buckets.size < most ? key : OTHERS;
  };
  // --8<-- [end:bucket]

  // --8<-- [start:take]
  /** May `key` spend `cost`? If not, `waitMs` says when it may: never, if the
   * bucket is smaller than that. */
  function take(key, cost = 1) {
    numbers({ cost }, { above: 0 }); // a negative one would fill the bucket
    const [name, tokens] = [place(key), level(place(key))];
    const allowed = tokens >= cost;
    keep(name, allowed ? tokens - cost : tokens);
    const missing = allowed ? 0 : cost - tokens;
    const waitMs = Math.ceil((missing / perSecond) * 1000);
    return { allowed, waitMs: cost > capacity ? Infinity : waitMs };
  }

  /** Afterwards, when the real cost is known: a debt is waited for. */
  function settle(key, estimated, real) {
    const name = place(key);
    keep(name, Math.min(capacity, level(name) + estimated - real));
  }
  return { take, settle };
}
// --8<-- [end:take]
