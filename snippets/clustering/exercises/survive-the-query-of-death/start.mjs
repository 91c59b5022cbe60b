import cluster from 'node:cluster';
import { once } from 'node:events';
import { createServer } from 'node:net';
import express from 'express';

const COUNT = 2;

if (cluster.isPrimary) {
  const PORT = await freePort(); // asked for once: it stays the same
  let listening = 0;
  cluster.on('listening', () => {
    listening += 1;
    if (listening === COUNT)
      console.log(`listening on http://127.0.0.1:${PORT}`);
  });
  for (let i = 0; i < COUNT; i += 1) cluster.fork({ PORT });
  cluster.on('exit', (worker, code, signal) => {
    console.error(`worker ${worker.process.pid} ended: ${signal ?? code}`);
  });
} else {
  work();
}

/** The worker: not to be changed. */
function work() {
  if (process.env.BROKEN) throw new Error('no database');
  const orders = new Map([
    ['ord_1', { items: [{ sku: 'tea' }] }],
    ['ord_13', { items: [] }],
  ]);
  const app = express();
  app.get('/health', (req, res) => res.json({ worker: process.pid }));
  app.get('/orders/:id/label', async (req, res) => {
    const { items } = orders.get(req.params.id);
    setImmediate(() => res.json({ label: items[0].sku }));
  });
  app.listen(process.env.PORT, '127.0.0.1');
}

async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
