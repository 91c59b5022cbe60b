/* eslint n/no-unsupported-features/node-builtins: ["error", { "ignores": ["WebSocket"] }] --
   stable since Node 22.4 */
// --8<-- [start:limits]
import { setTimeout as sleep } from 'node:timers/promises';
import { limitsOf } from './limits.mjs';

const LIMITS = {
  spreadMs: 5000, // how long a crowd may take to come back
  maxMs: 60_000, // the longest wait between two attempts
  quietMs: 60_000, // for the server, for url(), and for one event
  most: 1000, // events that wait for their turn
};
// --8<-- [end:limits]

// --8<-- [start:follow]
/** Follows a feed until `signal` aborts: comes back after a random time, and
 * goes on after the last event that `onEvent` has done. If that fails, the
 * event comes again. `url(cursor)` may be async: it fetches the ticket.
 * @param {{ url: Function, onEvent: Function, onReset?: Function,
 *   signal: AbortSignal, logger?: Console, random?: () => number }
 *   & Partial<typeof LIMITS>} options */
export async function follow({ url, onEvent, onReset, signal, ...options }) {
  const { random = Math.random, logger = console } = options;
  const { spreadMs, maxMs, ...limits } = limitsOf(LIMITS, options);
  let cursor;
  let failures = 0; // in a row
  const soon = (promise) => within(limits.quietMs, signal, promise);
  async function take(text) {
    const { type, id, data } = JSON.parse(text);
    if (type === 'event') await soon(onEvent(data, id));
    if (type === 'reset') await soon(onReset?.()); // missed some: fetch all
    cursor = id ?? cursor; // only now; all types but 'beat' have one
    failures = 0;
  }
  while (!signal.aborted) {
    try {
      const socket = new WebSocket(await soon(url(cursor)));
      await listen(socket, { take, signal, ...limits });
    } catch (error) {
      // no ticket, no JSON, a handler that failed: as when the socket fails
      if (!signal.aborted) logger.error({ error }, 'feed');
    }
    const most = Math.min(maxMs, spreadMs * 2 ** failures);
    failures += 1;
    await sleep(random() * most, undefined, { signal }).catch(() => {});
  }
}
// --8<-- [end:follow]

// --8<-- [start:listen]
/** Resolves when the socket is closed, by whomever, and rejects if a message
 * could not be handled. They are handled one after the other. */
function listen(socket, { take, signal, quietMs, most }) {
  return new Promise((resolve, reject) => {
    let work = Promise.resolve();
    let waiting = 0;
    const end = () => {
      socket.close();
      done(); // a peer that is gone would never answer the close
    };
    // browsers and Node show no ping to JavaScript: the feed has beats
    let quiet = setTimeout(end, quietMs);
    function done() {
      clearTimeout(quiet);
      signal.removeEventListener('abort', end);
      socket.onmessage = null;
      work.then(resolve, reject);
    }
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    socket.onclose = done;
    socket.onerror = done; // Node 22 closes none that never opened
    socket.onmessage = ({ data }) => {
      clearTimeout(quiet);
      quiet = setTimeout(end, quietMs);
      waiting += 1;
      if (waiting > most) return void end(); // the log has the rest
      work = work.then(() => take(data)).finally(() => (waiting -= 1));
      work.catch(end);
    };
  });
}
// --8<-- [end:listen]

// --8<-- [start:within]
/** What the promise gives; rejects after `ms`, or when `signal` aborts. */
async function within(ms, signal, promise) {
  let [timer, abort] = [];
  const end = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
    timer = setTimeout(reject, ms, new Error(`took more than ${ms} ms`));
    signal.addEventListener('abort', abort);
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
  }
}
// --8<-- [end:within]
