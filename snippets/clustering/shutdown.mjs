// node clustering/shutdown.mjs: one process that leaves without cutting anyone off
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

// --8<-- [start:drain]
/** Returns `drain()`, which ends `server` and loses no request it has taken.
 * A kept connection may have a request on its way, so none is closed before
 * it has been told: by `Connection: close` on its next answer. `patienceMs`
 * is for those that never ask again. */
export function drainable(server, { patienceMs = 8000 } = {}) {
  const sockets = new Set();
  const answers = new Set();
  let draining = false;
  const tell = (res) =>
    res.headersSent || res.setHeader('Connection', 'close');

  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.prependListener('request', (req, res) => {
    answers.add(res);
    res.once('close', () => answers.delete(res));
    if (draining) tell(res);
  });

  return async function drain() {
    draining = true;
    answers.forEach(tell); // those that are being worked on
    // New connections are still accepted, and told as well.
    const gone = [...sockets].map((socket) => once(socket, 'close'));
    const late = sleep(patienceMs, undefined, { ref: false });
    await Promise.race([Promise.all(gone), late]);
    const closed = once(server, 'close');
    server.close();
    await Promise.race([closed, late]);
    server.closeAllConnections();
  };
}
// --8<-- [end:drain]

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { createApp } = await import('./shop.mjs');
  const server = createServer(createApp());
  const drain = drainable(server);
  process.once('SIGTERM', drain);
  server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}
