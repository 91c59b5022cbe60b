// --8<-- [start:settings]
import express from 'express';
import { merge } from '../validation/merge.naive.mjs';

export function createApp({ authenticate }) {
  const settings = new Map();
  const app = express();
  app.patch('/settings', express.json(), (req, res) => {
    const { id } = authenticate(req);
    settings.set(id, merge(settings.get(id) ?? {}, req.body));
    res.sendStatus(204);
  });
  app.get('/admin/orders', (req, res) => {
    const user = authenticate(req);
    return user.isAdmin ? res.json({ items: [] }) : res.sendStatus(403);
  });
  return app;
}
// --8<-- [end:settings]
