import express from 'express';
import { Histogram, Registry } from 'prom-client';

const orders = new Map([['ord_1', { id: 'ord_1', status: 'paid' }]]);

export function createApp() {
  const register = new Registry();
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Duration of a request.',
    labelNames: ['method', 'route', 'status'],
    registers: [register],
  });
  const app = express();
  app.get('/metrics', async (req, res) => res.send(await register.metrics()));
  app.use((req, res, next) => {
    const end = duration.startTimer();
    res.once('finish', () => {
      // The pattern that matched is ours. Without one, neither the path nor the
      // method is: Node's parser takes more than thirty methods.
      // Below a router `baseUrl` is the client's spelling of where it is mounted.
      const { baseUrl, method, route } = req;
      const mount = [''].includes(baseUrl) ? baseUrl : '*';
      const ours = route
        ? { method, route: mount + route.path }
        : { method: 'any', route: 'none' };
      end({ ...ours, status: res.statusCode });
    });
    next();
  });
  app.get('/products', (req, res) => res.json([{ sku: 'tea' }]));
  app.get('/orders/:id', (req, res) => {
    const order = orders.get(req.params.id);
    res.status(order ? 200 : 404).json(order ?? { status: 404 });
  });
  return app;
}
