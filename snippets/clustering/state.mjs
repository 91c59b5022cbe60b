// --8<-- [start:state]
import cluster from 'node:cluster';
import { once } from 'node:events';

if (cluster.isPrimary) {
  const workers = [cluster.fork({ PORT: 0 }), cluster.fork({ PORT: 0 })];
  const [[{ port }]] = await Promise.all(
    workers.map((worker) => once(worker, 'listening')),
  );
  for (let i = 0; i < 6; i += 1) {
    const headers = { connection: 'close' }; // a new connection each time
    const answer = await fetch(`http://127.0.0.1:${port}/visits`, {
      headers,
    });
    console.log(await answer.json());
  }
  cluster.disconnect();
} else {
  const { createApp } = await import('./shop.mjs');
  createApp().listen(process.env.PORT, '127.0.0.1');
}
// --8<-- [end:state]
