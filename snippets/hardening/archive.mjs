// --8<-- [start:archive]
import express from 'express';
import { problems } from '../rest-apis/problem.mjs';
import { contained } from './files.mjs';
import { programsOf } from './program.mjs';

const NAME = /^(?!\.)[\w.-]{1,80}$/;

export function createApp({ folder, path = '/usr/bin:/bin', logger }) {
  const run = programsOf({ env: { PATH: path } }); // none of ours
  const app = express();
  app.get('/archive', async (req, res) => {
    const { name } = req.query;
    if (typeof name !== 'string' || !NAME.test(name))
      return res.sendStatus(400);
    if (!(await contained(folder, name))) return res.sendStatus(404);
    // after `--` nothing is an option, whatever it begins with
    const args = ['-cf', '-', '--', name, 'terms.txt'];
    const out = await run(res, 'tar', args, { cwd: folder });
    return res.type('application/x-tar').send(out);
  });
  app.use(problems({ logger }));
  return app;
}
// --8<-- [end:archive]
