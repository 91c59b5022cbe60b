/* eslint n/no-unsupported-features/node-builtins: ["error", { "ignores": ["WebSocket"] }] --
   stable since Node 22.4 */
// --8<-- [start:follow]
import { setTimeout as sleep } from 'node:timers/promises';

/** Follows a feed until `signal` aborts: comes back after a random time, and
 * goes on after the last event it saw. `url(cursor)` may be async: it fetches
 * the ticket. `spreadMs` is how long a crowd may take to come back. */
export async function follow({ url, onEvent, onReset, signal, ...options }) {
  const { spreadMs = 5000, maxMs = 60_000, random = Math.random } = options;
  const { quietMs = 60_000 } = options;
  let cursor;
  let failures = 0; // in a row
  function take({ type, id, data }) {
    failures = 0;
    cursor = id ?? cursor; // all types but 'beat' have one
    if (type === 'event') onEvent(data, id);
    if (type === 'reset') onReset?.(); // missed some: fetch the state
  }
  while (!signal.aborted) {
    try {
      await listen(new WebSocket(await url(cursor)), {
        take,
        signal,
        quietMs,
      });
    } catch {
      // no ticket, so no socket: the same as one that failed
    }
    const most = Math.min(maxMs, spreadMs * 2 ** failures);
    failures += 1;
    await sleep(random() * most, undefined, { signal }).catch(() => {});
  }
}
// --8<-- [end:follow]

// --8<-- [start:listen]
/** Resolves when the socket is closed, by whomever. */
function listen(socket, { take, signal, quietMs }) {
  return new Promise((resolve) => {
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
      resolve();
    }
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    socket.onclose = done;
    socket.onmessage = ({ data }) => {
      clearTimeout(quiet);
      quiet = setTimeout(end, quietMs);
      take(JSON.parse(data));
    };
  });
}
// --8<-- [end:listen]
