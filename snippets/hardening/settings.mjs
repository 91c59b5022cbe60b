// --8<-- [start:settings]
import express from 'express';
import { z } from 'zod';
import { problems } from '../rest-apis/problem.mjs';

const Settings = z.strictObject({
  theme: z.enum(['light', 'dark']).optional(),
  newsletter: z.boolean().optional(),
});

/** `isAdmin(id)` asks the one place that knows, and gives true or false. */
export function createApp({ authenticate, isAdmin, logger }) {
  const settings = new Map();
  const app = express();
  const known = async (req, res, next) => {
    req.user = await authenticate(req);
    return req.user ? next() : res.sendStatus(401);
  };
  // a stranger's body is not read
  const body = express.json({ limit: '4kb' });
  app.patch('/settings', known, body, (req, res) => {
    const { id } = req.user;
    const { success, data } = Settings.safeParse(req.body);
    if (!success) return res.sendStatus(422);
    settings.set(id, { ...settings.get(id), ...data });
    return res.sendStatus(204);
  });
  app.get('/admin/orders', known, async (req, res) => {
    const admin = (await isAdmin(req.user.id)) === true;
    return admin ? res.json({ items: [] }) : res.sendStatus(403);
  });
  app.use(problems({ logger }));
  return app;
}
// --8<-- [end:settings]
