// --8<-- [start:stale]
import { numbers } from '../validation/numbers.mjs';

/** `get(key, options)` asks `load`, and when that fails gives the last answer
 * that is not older than `staleMs`, marked as such. At most `keys` are kept:
 * the one that was loaded longest ago goes first.
 * @param {{ load: (key: string, call?: object) => unknown, staleMs?: number,
 *   keys?: number, now?: () => number }} options */
export function createStale(options) {
  const { load, staleMs = 600_000, keys = 1000 } = options;
  const { now = () => performance.now() } = options;
  numbers({ staleMs, keys });
  const kept = new Map();

  return async function get(key, call) {
    try {
      const value = await load(key, call);
      kept.delete(key);
      kept.set(key, { value, at: now() });
      if (kept.size > keys) kept.delete(kept.keys().next().value);
      return { value, stale: false };
    } catch (error) {
      const old = kept.get(key);
      if (!old || now() - old.at > staleMs) throw error;
      return { value: old.value, stale: true };
    }
  };
}
// --8<-- [end:stale]
