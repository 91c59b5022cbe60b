import express from 'express';
import { randomUUID } from 'node:crypto';

export function createApp({ clock = Date.now } = {}) {
  const users = new Map(); // refresh token -> user
  const app = express();
  app.use(express.json({ limit: '1kb' }));

  function give(user) {
    const token = randomUUID();
    users.set(token, { user, at: clock() });
    return { token };
  }
  app.post('/login', (req, res) => res.json(give(req.body.user)));
  app.post('/refresh', (req, res) => {
    const { token } = req.body;
    const found = users.get(token);
    if (!found) return res.sendStatus(401);
    users.delete(token);
    return res.json(give(found.user));
  });
  return app;
}
