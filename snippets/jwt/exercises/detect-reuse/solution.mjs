import express from 'express';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const LIFE = 30 * 24 * 60 * 60 * 1000; // of a session, whatever is refreshed

export function createApp({ clock = Date.now } = {}) {
  const secret = randomBytes(32);
  const sessions = new Map(); // id -> { due, at, until }, oldest first
  const app = express();
  app.use(express.json({ limit: '1kb' }));

  // a token says which one of its session it is: used ones need no memory
  const mac = (text) =>
    createHmac('sha256', secret).update(text).digest('base64url');
  const give = (id, n) => ({ token: `${id}.${n}.${mac(`${id}.${n}`)}` });

  function read(token) {
    const [, id, n, given] =
      /^([\w-]{22})\.(\d+)\.(.{43})$/.exec(token) ?? [];
    if (!id) return {};
    const [one, other] = [Buffer.from(given), Buffer.from(mac(`${id}.${n}`))];
    const genuine =
      one.length === other.length && timingSafeEqual(one, other);
    return genuine ? { id, n: Number(n) } : {};
  }
  app.post('/login', (req, res) => {
    if (typeof req.body?.user !== 'string') return res.sendStatus(400);
    for (const [id, { until }] of sessions) {
      if (until > clock()) break;
      sessions.delete(id);
    }
    const id = randomBytes(16).toString('base64url');
    sessions.set(id, { due: 0, at: clock(), until: clock() + LIFE });
    return res.json(give(id, 0));
  });
  app.post('/refresh', (req, res) => {
    const { id, n } = read(req.body?.token);
    const session = sessions.get(id);
    if (!session || clock() >= session.until) return res.sendStatus(401);
    if (n === session.due) {
      Object.assign(session, { due: n + 1, at: clock() });
    } else if (n !== session.due - 1 || clock() - session.at >= 5000) {
      sessions.delete(id); // two hands hold this session
      return res.sendStatus(401);
    }
    return res.json(give(id, n + 1));
  });
  return app;
}
