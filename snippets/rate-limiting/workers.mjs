// WORKERS=4 REDIS_URL=redis://… PROXIES='"10.0.0.5"' node workers.mjs
// --8<-- [start:workers]
import cluster from 'node:cluster';
import { numbers } from '../validation/numbers.mjs';
import { createApp } from './api.mjs';
import { stores } from './shared.mjs';
import { serverOf } from './slow.mjs';

const { WORKERS = '2', REDIS_URL, PROXIES = 'false' } = process.env;
const { LIMIT = '100', REDIS_PATIENCE_MS = '250' } = process.env;

async function work() {
  const stop = new AbortController();
  process.once('disconnect', () => stop.abort());
  process.once('SIGTERM', () => {}); // the primary says when
  const patienceMs = Number(REDIS_PATIENCE_MS);
  const { signal } = stop;
  const store = await stores({ url: REDIS_URL, signal, patienceMs });
  const proxies = JSON.parse(PROXIES);
  const app = createApp({ store, proxies, limit: Number(LIMIT) });
  serverOf(app).listen(Number(process.env.PORT ?? 3000), '127.0.0.1');
}

function lead() {
  numbers({ WORKERS: Number(WORKERS) });
  let listening = 0;
  cluster.on('listening', (worker, { port }) => {
    listening += 1;
    if (listening < Number(WORKERS)) return;
    console.log(`listening on http://127.0.0.1:${port}`);
  });
  cluster.on('exit', (worker) => {
    if (worker.exitedAfterDisconnect) return;
    process.exitCode = 1; // nobody asked it to: all end, with an error
    cluster.disconnect();
  });
  for (let i = 0; i < Number(WORKERS); i += 1) cluster.fork();
  process.once('SIGTERM', () => cluster.disconnect());
}

await (cluster.isPrimary ? lead() : work());
// --8<-- [end:workers]
