// node observability/crew.naive.mjs [WORKERS]
// --8<-- [start:crew]
import cluster from 'node:cluster';
import { supervise } from '../clustering/respawn.mjs';
import { serve } from '../clustering/worker.mjs';
import { createApp } from './metered.naive.mjs'; // with /metrics of its own

const { PORT = 3000 } = process.env;
if (cluster.isPrimary) {
  const crew = supervise({ count: Number(process.argv[2] ?? 2), port: PORT });
  process.once('SIGTERM', () => crew.stop());
  console.log(`listening on http://127.0.0.1:${await crew.ready}`);
} else {
  serve({ createApp, port: PORT });
}
// --8<-- [end:crew]
