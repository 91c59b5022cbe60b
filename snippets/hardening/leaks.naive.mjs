// --8<-- [start:leaks]
import { createHmac } from 'node:crypto';
import { execFile } from 'node:child_process';
import express from 'express';

export function createApp({ env = process.env, printer = 'lpr' } = {}) {
  const config = { region: 'eu', secret: env.SIGNING_SECRET };
  console.log('starting with', config);
  const app = express();

  app.get('/orders/:id/link', (req, res) => {
    const mac = createHmac('sha256', config.secret).update(req.params.id);
    res.json({ signature: mac.digest('hex') });
  });
  app.post('/labels', (req, res, next) =>
    execFile(printer, (error, out) => (error ? next(error) : res.send(out))),
  );
  app.get('/carriers', () => {
    // what HTTP clients do: the error carries the request's configuration
    throw Object.assign(new Error('the carrier is down'), { config });
  });
  app.use((error, req, res, next) => {
    console.error(error);
    res.status(500).json(error);
  });
  return app;
}
// --8<-- [end:leaks]
