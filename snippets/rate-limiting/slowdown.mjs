import { WAIT, numbers } from '../validation/numbers.mjs';

const OTHERS = Symbol('who comes when all places are taken');

// --8<-- [start:slowdown]
/** Progressive delay: `free` attempts, then a pause that doubles from
 * `baseMs` to `mostMs`, whatever is sent meanwhile. An attempt counts before
 * its password is looked at, so a hundred at once are no way around it.
 * @param {{ free?: number, baseMs?: number, mostMs?: number, most?: number,
 *   now?: () => number }} limits */
export function createSlowdown(limits = {}) {
  const { free = 3, baseMs = 1000, mostMs = 15 * 60_000 } = limits;
  const { most = 50_000, now = () => performance.now() } = limits;
  numbers({ free, most });
  numbers({ baseMs, mostMs }, { least: 1, most: WAIT.most });
  const seen = new Map(); // of each key { failed, until }, oldest first

  const place = (key) => {
    if (seen.has(key)) return key;
    for (const [oldest, { until }] of seen) {
      if (until + mostMs >= now()) break;
      seen.delete(oldest); // it has kept still for the longest pause
    }
    return seen.size < most ? key : OTHERS;
  };

  /** 0: go on, and it counts as failed. Else the ms until the next one. */
  function attempt(key) {
    const name = place(key);
    const { failed = 0, until = 0 } = seen.get(name) ?? {};
    const waitMs = Math.ceil(until - now());
    if (waitMs > 0) return waitMs;
    const doubled = baseMs * 2 ** Math.min(failed + 1 - free, 31);
    const pause = failed + 1 < free ? 0 : Math.min(mostMs, doubled);
    seen.delete(name);
    seen.set(name, { failed: failed + 1, until: now() + pause });
    return 0;
  }

  /** The password was right. */
  const succeeded = (key) => void seen.delete(key);
  return { attempt, succeeded };
}
// --8<-- [end:slowdown]
