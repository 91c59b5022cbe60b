// --8<-- [start:bounded]
/** Runs `task(item, signal)` for each item, `limit` at a time. The first
 * failure, or `signal`, stops the rest. Results come in the items' order. */
export async function mapBounded(items, limit, task, { signal } = {}) {
  const failed = new AbortController();
  const stop = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const results = new Array(items.length);
  let next = 0;
  async function worker() {
    while (next < items.length) {
      stop.throwIfAborted();
      const index = next;
      next += 1; // no await since the check, so no two workers share an index
      results[index] = await task(items[index], stop);
    }
  }
  const length = Math.min(limit, items.length);
  const workers = Array.from({ length }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(workers);
    throw error;
  }
  return results;
}
// --8<-- [end:bounded]
