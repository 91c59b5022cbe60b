// Fifty clients each send half a header and wait, for six seconds: how many
// does the server end? With the argument `series`, how many are left, by time.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { serverOf as hardened } from './slow.mjs';
import { serverOf as naive } from './slow.naive.mjs';

const series = process.argv.includes('series');

// --8<-- [start:slowloris]
async function attack(name, server) {
  let asked = 0;
  server.on('request', (req, res) => res.end(`${(asked += 1)}`));
  server.maxConnections = 50; // so that a held socket hurts, in little
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();

  const open = new Set();
  for (let i = 0; i < 50; i += 1) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: shop.test\r\nX-Slow: ');
    socket.resume().once('close', () => open.delete(socket));
    open.add(socket);
  }
  await watch(name, open);
  const ended = 50 - open.size;
  const seen = asked;
  const next = await fetch(`http://127.0.0.1:${port}/`).catch(() => null);
  for (const socket of open) socket.destroy();
  server.close();
  return [
    `${name}: ${ended} of 50 ended, ${seen} seen by the app,`,
    `  the next client is ${next ? 'served' : 'turned away'}`,
  ];
}
// --8<-- [end:slowloris]

async function watch(name, open) {
  const start = performance.now();
  for (let seconds = 0; seconds <= 6; seconds += 0.25) {
    await sleep(Math.max(0, start + 1000 * seconds - performance.now()));
    if (series) console.log(`${name},${seconds},${open.size}`);
  }
}

const soon = { headersTimeout: 1000, requestTimeout: 2000 };
const results = await Promise.all([
  attack('defaults', createServer()),
  attack('headersTimeout alone', naive()),
  attack('and the checker', hardened(undefined, soon)),
]);
console.log(results.flat().join('\n'));
