import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

// --8<-- [start:cache]
/** A cache in front of `load(key, { signal })`: one load a key, for all who
 * wait. What is older than `ttlMs` is given for `staleMs` more, while it is
 * loaded again. Failures are not kept. Put the tenant into the key.
 * @param {{ load: Function, ttlMs?: number, staleMs?: number, most?: number,
 *   mostMs?: number, logger?: Console, now?: () => number,
 *   random?: () => number }} deps */
export function createCache({ load, logger = console, ...deps }) {
  const { ttlMs = 60_000, staleMs = 60_000, most = 10_000 } = deps;
  const { mostMs = 5_000, now = () => performance.now() } = deps;
  const { random = Math.random } = deps;
  numbers({ most });
  numbers({ ttlMs, staleMs, mostMs }, WAIT);
  const entries = new Map(); // the one that was kept longest ago comes first
  const loading = new Map();

  function keep(key, value) {
    // not all at the same moment: up to a tenth earlier
    const fresh = now() + ttlMs * (1 - random() / 10);
    entries.delete(key);
    entries.set(key, { value, fresh, until: fresh + staleMs });
    const [oldest] = entries.keys();
    if (entries.size > most) entries.delete(oldest);
  }
  // --8<-- [end:cache]

  // --8<-- [start:get]
  function refresh(key) {
    if (loading.has(key)) return loading.get(key);
    const signal = AbortSignal.timeout(mostMs);
    const asked = withEnd(Promise.try(load, key, { signal }), signal);
    const mine = () => loading.get(key) === task; // not invalidated meanwhile
    const task = asked
      .then((value) => {
        if (mine()) keep(key, value);
        return value;
      })
      .finally(() => mine() && loading.delete(key));
    loading.set(key, task);
    return task;
  }

  async function get(key) {
    const entry = entries.get(key);
    if (!entry || now() >= entry.until) return refresh(key);
    if (now() >= entry.fresh)
      refresh(key).catch((error) => logger.error({ key, error }, 'cache'));
    return entry.value;
  }

  /** After the commit: what is being loaded may be older than that. */
  function invalidate(key) {
    entries.delete(key);
    loading.delete(key);
  }
  return { get, invalidate };
}
// --8<-- [end:get]
