// --8<-- [start:leaks]
import express from 'express';
import { problems } from '../rest-apis/problem.mjs';
import { programsOf } from './program.mjs';
import { secretsFrom, sign } from './secrets.mjs';

export function createApp({ env = process.env, printer = 'lpr' } = {}) {
  const secrets = secretsFrom({ names: ['SIGNING_SECRET'], env });
  const config = { region: 'eu', secret: secrets.SIGNING_SECRET };
  console.log('starting with', config);
  // what a child needs, by name
  const run = programsOf({ env: { PATH: env.PATH } });
  const app = express();

  app.get('/orders/:id/link', (req, res) => {
    res.json({ signature: sign(config.secret, req.params.id) });
  });
  app.post('/labels', async (req, res) => {
    const out = await run(res, printer, []);
    res.type('text/plain').send(out);
  });
  app.get('/carriers', () => {
    throw Object.assign(new Error('the carrier is down'), { config });
  });
  app.use(problems()); // an id for the client; the log has the rest
  return app;
}
// --8<-- [end:leaks]
