/* eslint-disable security/detect-non-literal-fs-filename --
   what may be opened is what this file is about */
// --8<-- [start:contained]
import { realpath } from 'node:fs/promises';
import path from 'node:path';

// nothing there, or no path at all: a NUL, a number
const NOT_THERE = new Set([
  ...['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'EACCES'],
  ...['ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_TYPE'],
]);

/** The real path of `name` in `root`, or null: for what must have a path, say
 * an archive's entries. Who can write in `root` can still swap a link between
 * this and the opening. */
export async function contained(root, name) {
  const base = await realpath(root); // that one has to be there
  try {
    const real = await realpath(path.resolve(base, name));
    const inside = path.relative(base, real);
    const out = inside.split(path.sep)[0] === '..' || path.isAbsolute(inside);
    return inside === '' || out ? null : real;
  } catch (error) {
    if (NOT_THERE.has(error.code)) return null;
    throw error; // a disk that fails, no descriptor left: not a 404
  }
}
// --8<-- [end:contained]

// --8<-- [start:files]
import express from 'express';
import { problems } from '../rest-apis/problem.mjs';

const INERT = {
  'Content-Security-Policy': "default-src 'none'; sandbox",
  'Cross-Origin-Resource-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'private, no-store',
};

/** `files`: get(id) gives { owner, name, stored }, and `stored` is a name we
 * made. What a client calls a file is a label, never a path. */
export function createApp({ root, files, authenticate, logger }) {
  const app = express();
  app.get('/files/:id', async (req, res) => {
    const user = await authenticate(req);
    if (!user) return res.sendStatus(401);
    const file = await files.get(req.params.id);
    const real =
      file && file.owner === user.id && (await contained(root, file.stored));
    if (!real) return res.sendStatus(404); // also somebody else's
    res.attachment(file.name).type('application/octet-stream').set(INERT);
    return res.sendFile(path.basename(real), { root: path.dirname(real) });
  });
  app.use(problems({ logger }));
  return app;
}
// --8<-- [end:files]
