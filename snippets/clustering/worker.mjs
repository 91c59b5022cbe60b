// --8<-- [start:worker]
import cluster from 'node:cluster';
import { writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { inspect } from 'node:util';
import { drainable } from './shutdown.mjs';

/** What a worker does: serves, tells what killed it, leaves in peace. The app
 * gets two signals: on `leaving` it ends its streams, on `signal`, when the
 * last answer is out, its pools and timers.
 * @param {{ createApp: Function, port: number | string, patienceMs?: number,
 *   quietMs?: number }} deps */
export async function serve({ createApp, port, ...patience }) {
  const [leaving, shutdown] = [new AbortController(), new AbortController()];
  const signals = { leaving: leaving.signal, signal: shutdown.signal };
  const server = createServer(await createApp(signals));
  const inFlight = new Map(); // of each answer the request
  server.prependListener('request', (req, res) => {
    const [path] = req.url.split('?'); // a query may hold a secret
    inFlight.set(res, `${req.method} ${path}`);
    res.once('close', () => inFlight.delete(res));
  });

  // Only looks on: the process still ends, so the write is synchronous.
  process.on('uncaughtExceptionMonitor', (error) => {
    const message = error?.message ?? inspect(error); // of `throw null`
    tell({ crashed: process.pid, message, inFlight: [...inFlight.values()] });
  });

  const drain = drainable(server, patience);
  async function leave() {
    leaving.abort();
    const cut = await drain();
    if (cut) tell({ left: process.pid, cut });
    shutdown.abort();
    cluster.worker?.disconnect(); // nothing is left, so the process ends
  }
  let left; // SIGTERM may come twice: from the primary, and to the group
  process.on('SIGTERM', () => (left ??= leave()));
  server.listen(port, '127.0.0.1');
}
// --8<-- [end:worker]

function tell(fields) {
  try {
    writeSync(2, `${JSON.stringify(fields)}\n`);
  } catch {
    // Nobody reads, or the disk is full: that must not change how it ends.
  }
}
