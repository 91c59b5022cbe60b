// --8<-- [start:archive]
import { exec } from 'node:child_process';
import express from 'express';

export function createApp({ folder }) {
  const app = express();
  app.get('/archive', (req, res, next) => {
    const command = `tar -cf - "${req.query.name}" terms.txt`;
    exec(command, { cwd: folder, encoding: 'buffer' }, (error, out) =>
      error ? next(error) : res.type('application/x-tar').send(out),
    );
  });
  return app;
}
// --8<-- [end:archive]
