// --8<-- [start:app]
import express from 'express';
import { Problem, notFound, problems } from '../rest-apis/problem.mjs';
import { fromOurPages } from './csrf.mjs';
import { headers } from './headers.mjs';
import { ordersOf } from './orders.mjs';
import { destination } from './redirect.mjs';
import { reports } from './reports.mjs';
import { sessionsOf } from './session.mjs';
import * as view from './view.mjs';

/** `origin` is ours as browsers see it, `proxies` are our own. `limits`
 * stand before the password: see the chapter on rate limiting. */
export function createApp(deps = {}) {
  const { origin = 'https://shop.test', proxies = false, limits = [] } = deps;
  const { sessions = sessionsOf(), logger = console } = deps;
  const { store = ordersOf([]), check = async () => null } = deps;
  const { authenticate = sessions.userOf } = deps;
  const { reportOnly, hsts, reportLimits } = deps;
  const app = express();
  app.set('trust proxy', proxies);
  app.use(headers({ reportOnly, hsts })); // first, so errors have them, too
  app.use(reports({ logger, limits: reportLimits }));
  app.use(fromOurPages(origin));
  app.use(express.urlencoded({ limit: '4kb', extended: false }));
  login(app, { origin, limits, check, sessions });
  app.use(async (req, res, next) => {
    req.user = await authenticate(req);
    if (req.user) return next();
    return res.redirect(303, `/login?next=${encodeURIComponent(req.url)}`);
  });
  orders(app, store);
  app.use(notFound);
  app.use(problems({ logger })); // an id for the client, the rest for us
  return app;
}
// --8<-- [end:app]

// --8<-- [start:login]
const isText = (value, most) =>
  typeof value === 'string' && value.length <= most;

function login(app, { origin, limits, check, sessions }) {
  app.get('/login', (req, res) => {
    const next = isText(req.query.next, 500) ? req.query.next : '';
    res.send(view.login({ next, nonce: res.locals.nonce }));
  });
  const wellFormed = ({ body = {} }, res, next) => {
    if (isText(body.email, 200) && isText(body.password, 200)) return next();
    throw new Problem(400, 'Send email and password.');
  };
  app.post('/login', wellFormed, ...limits, async (req, res) => {
    const user = await check(req.body.email, req.body.password);
    if (!user) throw new Problem(401, 'Wrong credentials.');
    await sessions.start(req, res, { id: user.id });
    res.redirect(303, destination(req.body.next, origin, '/orders'));
  });
  app.post('/logout', async (req, res) => {
    await sessions.end(req, res);
    res.redirect(303, '/login');
  });
}
// --8<-- [end:login]

// --8<-- [start:orders]
function orders(app, store) {
  // the only way to an order goes through its owner
  const mine = (req) => store.of(req.user.id);
  const find = async (req) => {
    const found = await mine(req).get(req.params.id);
    if (!found) throw new Problem(404, 'You have no such order.');
    return found;
  };
  const change = async (req, res, found, changed) => {
    const { id, version } = found;
    const order = { ...found, ...changed };
    const after = await mine(req).update(id, version, order);
    if (!after) throw new Problem(412, 'The order is another by now.');
    res.redirect(303, `/orders/${encodeURIComponent(id)}`);
  };
  app.get('/orders', async (req, res) => {
    const q = isText(req.query.q, 100) ? req.query.q : '';
    const all = await mine(req).list();
    const found = all.filter(({ note = '' }) => note.includes(q));
    res.send(view.list({ q, orders: found, nonce: res.locals.nonce }));
  });
  app.get('/orders/:id', async (req, res) => {
    const { nonce } = res.locals;
    res.send(view.page({ order: await find(req), user: req.user, nonce }));
  });
  app.post('/orders/:id/note', async (req, res) => {
    const { note } = req.body ?? {};
    if (!isText(note, 500)) throw new Problem(422, 'A note is short text.');
    await change(req, res, await find(req), { note });
  });
  app.post('/orders/:id/cancellation', async (req, res) => {
    const found = await find(req);
    const may = ['open', 'paid'].includes(found.status);
    if (!may) throw new Problem(409, `It is ${found.status}.`);
    await change(req, res, found, { status: 'cancelled' });
  });
}
// --8<-- [end:orders]
