// node clustering/cluster.naive.mjs [WORKERS]: as most articles show it.
import cluster from 'node:cluster';
import { cpus } from 'node:os';

const count = Number(process.argv[2] ?? cpus().length);
let ready = 0;
cluster.on('listening', (worker, { port }) => {
  ready += 1;
  if (ready === count) console.log(`listening on http://127.0.0.1:${port}`);
});

// --8<-- [start:cluster]
if (cluster.isPrimary) {
  for (let i = 0; i < count; i += 1) cluster.fork(); // one per os.cpus()
  cluster.on('exit', (worker) => {
    console.log(`worker ${worker.process.pid} died`);
  });
} else {
  const { createApp } = await import('./shop.mjs');
  createApp().listen(process.env.PORT ?? 3000, '127.0.0.1');
}
// --8<-- [end:cluster]
