import express from 'express';
import { randomUUID } from 'node:crypto';

export function createApp({ clock = Date.now } = {}) {
  const tokens = new Map(); // refresh token -> { session, next, at }
  const app = express();
  app.use(express.json({ limit: '1kb' }));

  function give(session) {
    const token = randomUUID();
    tokens.set(token, { session });
    return { token };
  }
  app.post('/login', (req, res) =>
    res.json(give({ user: req.body.user, ended: false })),
  );
  app.post('/refresh', (req, res) => {
    const known = tokens.get(req.body.token);
    if (!known || known.session.ended) return res.sendStatus(401);
    if (!known.next) {
      known.next = give(known.session);
      known.at = clock();
    } else if (clock() - known.at >= 5000) {
      known.session.ended = true; // two hands hold this session
      return res.sendStatus(401);
    }
    return res.json(known.next);
  });
  return app;
}
