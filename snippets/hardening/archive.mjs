// --8<-- [start:archive]
import { execFile } from 'node:child_process';
import express from 'express';

const NAME = /^(?!\.)[\w.-]{1,80}$/;

export function createApp({ folder, path = '/usr/bin:/bin' }) {
  const options = {
    cwd: folder,
    env: { PATH: path }, // none of ours
    encoding: 'buffer',
    timeout: 5000,
    maxBuffer: 10_000_000,
  };
  const app = express();
  app.get('/archive', (req, res, next) => {
    const { name } = req.query;
    if (typeof name !== 'string' || !NAME.test(name))
      return res.sendStatus(400);
    // after `--` nothing is an option, whatever it begins with
    const args = ['-cf', '-', '--', name, 'terms.txt'];
    return execFile('tar', args, options, (error, out) =>
      error ? next(error) : res.type('application/x-tar').send(out),
    );
  });
  return app;
}
// --8<-- [end:archive]
