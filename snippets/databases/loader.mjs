// --8<-- [start:loader]
import { WAIT, numbers } from '../validation/numbers.mjs';
import { withEnd } from './end.mjs';

/** `get(key)` collects the keys of one turn of the event loop and asks for
 * them together. Make one for each request: what it has loaded, it keeps.
 * @param {{ load: (keys: any[], o: { signal: AbortSignal }) =>
 *   Promise<Map<any, any>>, most?: number, keys?: number }} deps */
export function createLoader(deps) {
  const { load, most = 100, keys = 1_000, mostMs = 5_000 } = deps;
  numbers({ most, keys });
  numbers({ mostMs }, { least: 1, most: WAIT.most });
  const kept = new Map();
  let waiting = [];

  function flush() {
    const all = waiting;
    waiting = [];
    for (let n = 0; n < all.length; n += most) ask(all.slice(n, n + most));
  }

  // --8<-- [end:loader]

  async function ask(some) {
    const signal = AbortSignal.timeout(mostMs);
    try {
      const wanted = some.map(({ key }) => key);
      const found = await withEnd(load(wanted, { signal }), signal);
      for (const { key, resolve } of some) resolve(found.get(key));
    } catch (error) {
      for (const { key, reject } of some) {
        kept.delete(key); // a failure is not kept
        reject(error);
      }
    }
  }

  return function get(key) {
    if (kept.has(key)) return kept.get(key);
    const { promise, resolve, reject } = Promise.withResolvers();
    if (waiting.length === 0) setImmediate(flush);
    waiting.push({ key, resolve, reject });
    kept.set(key, promise);
    if (kept.size > keys) kept.delete(kept.keys().next().value);
    return promise;
  };
}
