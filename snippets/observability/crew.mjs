// node observability/crew.mjs [WORKERS]: one page with all their metrics
// --8<-- [start:crew]
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { AggregatorRegistry } from 'prom-client';
import { supervise } from '../clustering/respawn.mjs';
import { serve } from '../clustering/worker.mjs';

const { PORT = 3000, METRICS_PORT = 9464 } = process.env;
if (cluster.isPrimary) {
  const crew = supervise({ count: Number(process.argv[2] ?? 2), port: PORT });
  const registry = new AggregatorRegistry();
  const inside = createServer(async (req, res) => {
    try {
      const text = await registry.clusterMetrics(); // asks every worker
      const headers = { 'Content-Type': registry.contentType };
      res.writeHead(text ? 200 : 503, headers).end(text); // '': no worker
    } catch {
      res.writeHead(503).end(); // one of them was silent for five seconds
    }
  });
  inside.listen(METRICS_PORT, '127.0.0.1');
  // metrics go last, and who scrapes is no reason to stay
  const end = () => inside.close().closeAllConnections();
  let left; // SIGTERM may come twice: from npm, and to the group
  process.on('SIGTERM', () => (left ??= crew.stop().then(end)));
  crew.ready.then((port) => {
    const own = `http://127.0.0.1:${inside.address().port}`;
    console.log(`metrics on ${own}/metrics`);
    console.log(`listening on http://127.0.0.1:${port}`);
  });
} else {
  const { createApp } = await import('./metered.mjs');
  const { createMetrics } = await import('./metrics.mjs');
  const metrics = createMetrics();
  // A series for each worker: a sum of counters would fall when one dies.
  metrics.register.setDefaultLabels({ worker: cluster.worker.id });
  AggregatorRegistry.setRegistries(metrics.register);
  new AggregatorRegistry(); // has it answer the primary
  serve({ createApp: () => createApp({ metrics }), port: PORT });
}
// --8<-- [end:crew]
