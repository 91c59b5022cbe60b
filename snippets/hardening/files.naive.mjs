// --8<-- [start:files]
import express from 'express';
import path from 'node:path';

export const ways = {
  joined: (root, name) => path.join(root, name),
  stripped: (root, name) => path.join(root, name.replaceAll('../', '')),
  prefixed(root, name) {
    const file = path.resolve(root, name);
    return file.startsWith(root) ? file : null;
  },
};

export function createApp({ root, way = 'joined' }) {
  const app = express();
  app.get('/files', (req, res) => {
    const file = ways[way](root, req.query.name);
    return file ? res.sendFile(file) : res.sendStatus(404);
  });
  return app;
}
// --8<-- [end:files]
