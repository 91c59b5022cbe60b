// --8<-- [start:app]
import express from 'express';
import { identify, Problem, problems } from '../edge.mjs';
import { ordersController } from './controller.mjs';
import { createModels } from './models.mjs';

export async function createApp({ authenticate = () => null, ...deps } = {}) {
  const models = deps.models ?? (await createModels(deps));
  const orders = ordersController({ ...deps, ...models });
  const app = express().disable('x-powered-by');
  app.use(identify(authenticate), express.json({ limit: '16kb' }));

  app.post('/orders', orders.create);
  app.get('/orders/:id', orders.show);
  app.post('/orders/:id/payment', orders.pay);
  app.post('/orders/:id/cancellation', orders.cancel);

  app.use((error, req, res, next) => {
    if (!(error instanceof models.ModelError)) return next(error);
    const status = error.reason === 'none' ? 404 : 409;
    return next(new Problem(status, error.message));
  });
  app.use(problems(deps));
  return app;
}
// --8<-- [end:app]
