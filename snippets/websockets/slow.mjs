// One client that reads and one that doesn't: node websockets/slow.mjs
// output: varies — how much the kernel's buffers take differs by machine
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { WebSocket, WebSocketServer } from 'ws';
import { tick as hardened } from './ticker.mjs';
import { tick as naive } from './ticker.naive.mjs';

// --8<-- [start:slow]
const prices = Buffer.alloc(64 * 1024, 'tea 9.90 ');

async function watch(tick) {
  const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  wss.on('connection', (socket) => socket.on('error', () => {}));
  await once(wss, 'listening');
  const url = `ws://127.0.0.1:${wss.address().port}`;
  const [slow, reader] = [new WebSocket(url), new WebSocket(url)];
  await Promise.all([once(slow, 'open'), once(reader, 'open')]);
  slow.pause(); // it stays connected, and reads nothing any more
  let received = 0;
  reader.on('message', () => (received += 1));

  const start = performance.now();
  const samples = []; // ms, MiB that wait in the server for both clients
  for (let i = 0; i < 2000; i += 1) {
    tick(wss, prices); // 125 MiB in all, for each client
    await turn();
    if (i % 50 !== 49) continue;
    const waiting = [...wss.clients].map((socket) => socket.bufferedAmount);
    const most = Math.max(...waiting) / 2 ** 20;
    samples.push([performance.now() - start, most]);
  }
  const connected = wss.clients.size;
  wss.clients.forEach((socket) => socket.terminate());
  wss.close();
  return { samples, connected, received };
}
// --8<-- [end:slow]

for (const [name, tick] of Object.entries({ naive, hardened })) {
  console.log(JSON.stringify({ name, ...(await watch(tick)) }));
}
