// node clustering/shutdown.mjs: one process that leaves without cutting anyone off
import { createServer } from 'node:http';
import { Server as NetServer } from 'node:net';
import {
  setImmediate as nextTurn,
  setTimeout as sleep,
} from 'node:timers/promises';
import { Server as TlsServer } from 'node:tls';
import { pathToFileURL } from 'node:url';
import { WAIT, numbers } from '../validation/numbers.mjs';

const { close } = NetServer.prototype;

// --8<-- [start:drain]
/** Returns `drain()`, which ends `server` and loses no request it has taken.
 * A kept connection may have a request on its way, so it is told first: by
 * `Connection: close` on its next answer. One that says nothing for `quietMs`
 * is closed. After `patienceMs` the rest is cut; `drain()` counts it.
 * @param {import('node:net').Server} server
 * @param {{ patienceMs?: number, quietMs?: number }} limits */
export function drainable(server, limits = {}) {
  const { patienceMs = 8000, quietMs = 2000 } = limits;
  numbers({ patienceMs, quietMs }, WAIT);
  const sockets = new Set();
  const answers = new Map(); // of each connection the newest
  const tell = (res) =>
    res.headersSent || res.setHeader('Connection', 'close');
  let drained;

  const secure = server instanceof TlsServer;
  server.on(secure ? 'secureConnection' : 'connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    if (drained) hush(socket); // still accepted
  });
  server.prependListener('request', ({ socket }, res) => {
    answers.set(socket, res);
    res.once('close', () => {
      if (answers.get(socket) === res) answers.delete(socket);
      if (drained) hush(socket); // it may have been too late to tell it
    });
    if (drained) tell(res);
  });
  // --8<-- [end:drain]

  // --8<-- [start:leave]
  const wait = (ms) => sleep(ms, undefined, { ref: false });
  async function hush(socket) {
    const { bytesRead } = socket;
    await wait(quietMs);
    await nextTurn(); // after a stall, what came meanwhile is read only now
    const quiet = socket.bytesRead === bytesRead && !answers.has(socket);
    if (quiet) socket.destroy();
  }

  async function drain() {
    answers.forEach(tell); // those that are being worked on
    // Not events.once(): that rejects when a client resets its connection.
    const end = (socket) => new Promise((on) => socket.once('close', on));
    const gone = Promise.all([...sockets].map(end));
    const late = wait(patienceMs);
    sockets.forEach(hush);
    await Promise.race([gone, wait(quietMs), late]);
    // Not HTTP's own close(): it cuts answers that are still being read.
    const closing = new Promise((on) => close.call(server, on));
    const none = closing.then(() => 0);
    const cut = await Promise.race([none, late.then(() => sockets.size)]);
    for (const socket of sockets) socket.destroy(); // also a WebSocket's
    return cut;
  }
  return () => (drained ??= drain()); // a signal may come twice
  // --8<-- [end:leave]
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { createApp } = await import('./shop.mjs');
  const server = createServer(createApp());
  const drain = drainable(server);
  process.on('SIGTERM', drain);
  server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}
