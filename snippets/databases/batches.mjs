// --8<-- [start:batches]
import { numbers } from '../validation/numbers.mjs';
import { withEnd } from './end.mjs';

/** Like Promise.all over `work(item, { signal })`, so many at once: the rest
 * of a pool is left to others. After a failure nothing more is begun.
 * @param {Iterable<any>} items @param {Function} work */
export async function inBatches(items, work, { atOnce = 5, signal } = {}) {
  numbers({ atOnce });
  const stop = new AbortController();
  const ended = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const results = [];
  const left = [...items].entries(); // all workers take from it
  const worker = async () => {
    for (const [n, item] of left) {
      ended.throwIfAborted();
      results[n] = await work(item, { signal: ended });
    }
  };
  const workers = Array.from({ length: atOnce }, () =>
    worker().catch((error) => {
      stop.abort(error ?? new Error('rejected with nothing'));
      throw error;
    }),
  );
  await withEnd(Promise.all(workers), ended);
  return results;
}
// --8<-- [end:batches]
