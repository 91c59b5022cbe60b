// --8<-- [start:leaks]
import { execFile } from 'node:child_process';
import express from 'express';
import { randomUUID } from 'node:crypto';
import { secretsFrom, sign } from './secrets.mjs';

export function createApp({ env = process.env, printer = 'lpr' } = {}) {
  const secrets = secretsFrom({ names: ['SIGNING_SECRET'], env });
  const config = { region: 'eu', secret: secrets.SIGNING_SECRET };
  console.log('starting with', config);
  const app = express();

  app.get('/orders/:id/link', (req, res) => {
    res.json({ signature: sign(config.secret, req.params.id) });
  });
  app.post('/labels', (req, res, next) => {
    // what it needs, by name, and not for ever
    const own = { env: { PATH: env.PATH }, timeout: 5000 };
    execFile(printer, [], own, (error, out) =>
      error ? next(error) : res.send(out),
    );
  });
  app.get('/carriers', () => {
    throw Object.assign(new Error('the carrier is down'), { config });
  });
  app.use((error, req, res, next) => {
    const instance = `urn:uuid:${randomUUID()}`; // the log has the rest
    console.error(instance, error);
    const problem = { title: 'Internal Server Error', status: 500, instance };
    res.status(500).type('application/problem+json').send(problem);
  });
  return app;
}
// --8<-- [end:leaks]
