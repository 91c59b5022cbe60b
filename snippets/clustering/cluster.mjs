// node clustering/cluster.mjs [WORKERS]
// --8<-- [start:cluster]
import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import { serve } from './worker.mjs';
import { supervise } from './respawn.mjs';

if (cluster.isPrimary) {
  const count = Number(process.argv[2] ?? availableParallelism());
  const crew = supervise({ count });
  process.on('SIGTERM', () => crew.stop());
  process.on('SIGHUP', () => crew.restart());
  crew.ready.then((port) => {
    console.log(`listening on http://127.0.0.1:${port}`);
  });
} else {
  const { createApp } = await import('./shop.mjs');
  serve({ createApp, port: process.env.PORT ?? 3000 });
}
// --8<-- [end:cluster]
