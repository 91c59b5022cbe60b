// --8<-- [start:settings]
import express from 'express';
import { merge } from '../validation/merge.naive.mjs';

export function createApp({ authenticate }) {
  const settings = new Map();
  const app = express();
  app.patch('/settings', express.json(), async (req, res) => {
    const { id } = await authenticate(req);
    settings.set(id, merge(settings.get(id) ?? {}, req.body));
    res.sendStatus(204);
  });
  app.get('/admin/orders', async (req, res) => {
    const user = await authenticate(req);
    return user.isAdmin ? res.json({ items: [] }) : res.sendStatus(403);
  });
  return app;
}
// --8<-- [end:settings]
