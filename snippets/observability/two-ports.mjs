// node observability/two-ports.mjs: metrics on a port of their own
// --8<-- [start:ports]
import { createServer } from 'node:http';
import { createHealth } from './health.mjs';
import { createApp } from './metered.mjs';
import { createMetrics } from './metrics.mjs';

const { PORT = 3000, METRICS_PORT = 9464, HOST = '127.0.0.1' } = process.env;
const leaving = new AbortController();
const metrics = createMetrics();
const health = createHealth({ leaving: leaving.signal });

const shop = createServer(createApp({ metrics, health }));
const inside = createServer(async (req, res) => {
  if (req.url !== '/metrics') return res.writeHead(404).end();
  res.setHeader('Content-Type', metrics.register.contentType);
  return res.end(await metrics.register.metrics());
});

process.once('SIGTERM', () => {
  leaving.abort(); // /readyz says so while the rest is drained
  shop.close(() => inside.close()); // the last scrape sees the last request
  shop.closeIdleConnections();
});
// --8<-- [end:ports]

const tell =
  (name, server, path = '') =>
  () =>
    console.log(`${name} http://127.0.0.1:${server.address().port}${path}`);
// HOST is for a container, whose network is its own
inside.listen(METRICS_PORT, HOST, () => {
  tell('metrics on', inside, '/metrics')();
  shop.listen(PORT, HOST, tell('listening on', shop));
});
