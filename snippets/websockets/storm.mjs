// All clients are told to go, as at a restart. When do they come back?
// node websockets/storm.mjs [CLIENTS] [SPREAD_MS]
// output: varies — the times are random, that is the point
import { once } from 'node:events';
import { createServer } from 'node:http';
import { attach } from './attach.mjs';
import { follow as jitter } from './client.mjs';
import { follow as naive } from './client.naive.mjs';

const [count = 100, spreadMs = 1000] = process.argv.slice(2).map(Number);

// --8<-- [start:storm]
async function storm(follow, options) {
  const server = createServer();
  const came = []; // ms, by the server's clock
  let full;
  const serve = () =>
    attach(server, {
      path: '/',
      authenticate: () => ({ user: 'all of them' }),
      perUser: count,
      onOpen: () => came.push(performance.now()) === count && full(),
    });
  const all = () => new Promise((resolve) => (full = resolve));

  let sockets = serve();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = () => `ws://127.0.0.1:${server.address().port}/`;
  const stop = new AbortController();
  let complete = all();
  for (let i = 0; i < count; i += 1) {
    follow({ url, signal: stop.signal, onEvent() {}, ...options });
  }
  await complete;
  came.length = 0;
  complete = all();
  const left = performance.now();
  await sockets.leave();
  sockets = serve();
  await complete;
  stop.abort();
  await sockets.leave();
  server.close();
  return came.map((time) => Math.round(time - left));
}
// --8<-- [end:storm]

const naively = await storm(naive, { delayMs: spreadMs / 2 });
const spread = await storm(jitter, { spreadMs });
console.log(JSON.stringify({ naive: naively, jitter: spread }));
