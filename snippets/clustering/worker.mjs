// --8<-- [start:worker]
import cluster from 'node:cluster';
import { writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { drainable } from './shutdown.mjs';

/** What a worker does: serves, tells what killed it, leaves in peace. */
export function serve({ createApp, port }) {
  const shutdown = new AbortController();
  const server = createServer(createApp({ signal: shutdown.signal }));
  const inFlight = new Set();
  server.prependListener('request', (req, res) => {
    const [path] = req.url.split('?'); // a query may hold a secret
    const request = `${req.method} ${path}`;
    inFlight.add(request);
    res.once('close', () => inFlight.delete(request));
  });

  // The last gasp: only looks on, so the process still ends. Synchronous,
  // since nothing asynchronous would be finished.
  process.on('uncaughtExceptionMonitor', ({ message }) => {
    const said = { crashed: process.pid, message, inFlight: [...inFlight] };
    writeSync(2, `${JSON.stringify(said)}\n`);
  });

  const drain = drainable(server);
  async function leave() {
    await drain();
    shutdown.abort(); // pools, timers
    cluster.worker.disconnect(); // nothing is left, so the process ends
  }
  let left; // SIGTERM may come twice: from the primary, and to the group
  process.on('SIGTERM', () => (left ??= leave()));
  server.listen(port, '127.0.0.1');
}
// --8<-- [end:worker]
