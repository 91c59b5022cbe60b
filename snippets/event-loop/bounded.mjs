// --8<-- [start:bounded]
import { numbers } from '../validation/numbers.mjs';

/** Runs `task(item, signal)` for each item, `limit` at a time. The first
 * failure, or `signal`, stops the rest. Results come in the items' order.
 * @template T, R
 * @param {T[]} items @param {number} limit
 * @param {(item: T, signal: AbortSignal) => Promise<R> | R} task
 * @param {{ signal?: AbortSignal }} [options] @returns {Promise<R[]>} */
export async function mapBounded(items, limit, task, { signal } = {}) {
  // with a Set, or NaN for a limit, nothing would be done and called done
  if (!Array.isArray(items)) throw new TypeError('items: not an array');
  numbers({ limit });
  const stop = new AbortController();
  const abort = () => stop.abort(signal.reason);
  signal?.throwIfAborted();
  signal?.addEventListener('abort', abort);
  const results = new Array(items.length);
  let next = 0;
  async function worker() {
    while (next < items.length) {
      stop.signal.throwIfAborted();
      const index = next;
      next += 1; // no await since the check, so no two workers share an index
      results[index] = await task(items[index], stop.signal);
    }
  }
  const length = Math.min(limit, items.length);
  const workers = Array.from({ length }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(workers);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  return results;
}
// --8<-- [end:bounded]
