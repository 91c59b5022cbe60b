// node observability/two-ports.mjs: metrics on a port of their own
// --8<-- [start:ports]
import { createServer } from 'node:http';
import { createShutdown } from '../resilience/shutdown.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { createHealth } from './health.mjs';
import { createApp } from './metered.mjs';
import { createMetrics } from './metrics.mjs';

const { PORT = 3000, METRICS_PORT = 9464, HOST = '127.0.0.1' } = process.env;
const drainMs = Number(process.env.DRAIN_MS ?? 5000);
numbers({ DRAIN_MS: drainMs }, WAIT);
const metrics = createMetrics();

const shop = createServer();
const { leaving, last, listen } = createShutdown({
  server: shop,
  beforeMs: drainMs, // /readyz says no, and everything is served still
});
const health = createHealth({ leaving });
shop.on('request', createApp({ metrics, health }));
const inside = createServer(async (req, res) => {
  if (req.url !== '/metrics') return res.writeHead(404).end();
  try {
    const text = await metrics.register.metrics();
    res.setHeader('Content-Type', metrics.register.contentType);
    return res.end(text);
  } catch {
    return res.writeHead(503).end(); // a collector failed
  }
});

// --8<-- [end:ports]

// --8<-- [start:leave]
// metrics go last: what came after the last scrape is not counted
last('metrics', () => new Promise((closed) => inside.close(closed)));
listen();
// --8<-- [end:leave]

const tell =
  (name, server, path = '') =>
  () =>
    console.log(`${name} http://127.0.0.1:${server.address().port}${path}`);
// HOST is for a container, whose network is its own
inside.listen(METRICS_PORT, HOST, () => {
  tell('metrics on', inside, '/metrics')();
  shop.listen(PORT, HOST, tell('listening on', shop));
});
