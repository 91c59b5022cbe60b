// node clustering/cluster.mjs [WORKERS]
import { once } from 'node:events';
import { createServer } from 'node:net';

// Tests ask for any free port. All workers would share one, but once none of
// them is left, port 0 would be another one.
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

// --8<-- [start:cluster]
import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import { supervise } from './respawn.mjs';
import { serve } from './worker.mjs';

const { PORT = 3000 } = process.env;
if (cluster.isPrimary) {
  const count = Number(process.argv[2] ?? availableParallelism());
  const port = Number(PORT) || (await freePort());
  const crew = supervise({ count, port });
  process.on('SIGTERM', () => crew.stop());
  process.on('SIGHUP', () => crew.restart());
  crew.ready.then(() => console.log(`listening on http://127.0.0.1:${port}`));
} else {
  const { createApp } = await import('./shop.mjs');
  serve({ createApp, port: PORT });
}
// --8<-- [end:cluster]
