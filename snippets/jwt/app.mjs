// --8<-- [start:app]
import express from 'express';
import { REFRESH, cookieOf, fromOurOrigins } from './cookies.mjs';
import { clearCookies, setCookies } from './cookies.mjs';
import { Unavailable } from './unavailable.mjs';

/** Login, refresh and logout by cookie, and two routes that need a user.
 * All dependencies are passed in; `limits` stand before the password. */
export function createApp(deps) {
  const { issue, sessions, origins, limits = [] } = deps;
  const { revoke = async () => {} } = deps;
  const { check = async () => null } = deps; // nobody, until you say who
  const life = 30 * 24 * 60 * 60 * 1000;
  const app = express();
  app.disable('x-powered-by').use(fromOurOrigins(origins));

  async function hand(res, { user, sid, token }) {
    const access = await issue({ id: user, sid });
    setCookies(res, { access, refresh: token, life });
    return res.set('Cache-Control', 'no-store').sendStatus(204);
  }
  app.post('/login', express.json({ limit: '1kb' }), isText, ...limits);
  app.post('/login', async (req, res) => {
    const user = await check(req.body.email, req.body.password);
    if (!user) return res.sendStatus(401);
    return hand(res, await sessions.start(user.id));
  });
  app.post('/refresh', async (req, res) => {
    const next = await sessions.rotate(cookieOf(req, REFRESH));
    if (next) return hand(res, next);
    clearCookies(res);
    return res.sendStatus(401);
  });
  app.post('/logout', async (req, res) => {
    const sid = await sessions.end(cookieOf(req, REFRESH));
    if (sid) await revoke(sid);
    clearCookies(res);
    return res.sendStatus(204);
  });
  return routes(app, deps);
}
// --8<-- [end:app]

// --8<-- [start:routes]
function isText(req, res, next) {
  const { email, password } = req.body ?? {};
  const text = typeof email === 'string' && typeof password === 'string';
  return text ? next() : res.sendStatus(400);
}

function routes(app, { authenticate, place = async () => {}, logger }) {
  app.use(async (req, res, next) => {
    req.user = await authenticate(req);
    if (req.user) return next();
    return res.set('WWW-Authenticate', 'Bearer').sendStatus(401);
  });
  app.get('/me', (req, res) => res.json({ id: req.user.id }));
  app.post('/orders', async (req, res) => {
    await place(req.user.id);
    res.sendStatus(201);
  });
  return app.use(failed(logger));
}

/** An error of somebody else's may carry a `status`, too: it is our 500. */
function failed(logger = console) {
  return (error, req, res, next) => {
    const status = statusOf(error);
    if (status >= 500) logger.error({ error }, `${req.method} ${req.path}`);
    return res.headersSent ? next(error) : res.sendStatus(status);
  };
}

function statusOf(error) {
  // while a store or the issuer is away, the token may well be right
  if (error instanceof Unavailable) return error.status;
  const parsers = error.expose && error.status >= 400 && error.status < 500;
  return parsers ? error.status : 500;
}
// --8<-- [end:routes]
