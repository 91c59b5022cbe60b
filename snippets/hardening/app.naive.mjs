// --8<-- [start:app]
import express from 'express';
import { randomUUID } from 'node:crypto';

export function createApp({ store, check }) {
  const sessions = new Map();
  const app = express();
  app.use(express.urlencoded());
  app.use((req, res, next) => {
    const [, id] = /sid=([\w-]+)/.exec(req.get('Cookie') ?? '') ?? [];
    req.user = sessions.get(id);
    next();
  });
  app.get('/login', (req, res) => res.send(login(req.query.next ?? '')));
  app.post('/login', async (req, res) => {
    const user = await check(req.body.email, req.body.password);
    if (!user) return res.sendStatus(401);
    const id = randomUUID();
    sessions.set(id, user);
    res.cookie('sid', id);
    return res.redirect(req.body.next || '/orders');
  });
  orders(app, store.all);
  app.use((error, req, res, next) => res.status(500).send(error.stack));
  return app;
}
// --8<-- [end:app]

// --8<-- [start:orders]
function orders(app, all) {
  app.get('/orders', (req, res) => {
    const q = req.query.q ?? '';
    const found = [...all.values()].filter((one) => one.note.includes(q));
    res.send(list(q, found));
  });
  app.get('/orders/:id', (req, res) => {
    res.send(page(all.get(req.params.id), req.user));
  });
  app.post('/orders/:id/note', (req, res) => {
    all.get(req.params.id).note = req.body.note;
    res.redirect(`/orders/${req.params.id}`);
  });
  app.post('/orders/:id/cancellation', (req, res) => {
    if (!req.user) return res.sendStatus(401);
    all.get(req.params.id).status = 'cancelled';
    return res.redirect(`/orders/${req.params.id}`);
  });
}
// --8<-- [end:orders]

// --8<-- [start:view]
const html = (body) => `<!doctype html><html lang="en"><head>
<title>Orders</title></head><body>${body}</body></html>`;

const login = (next) =>
  html(`<form method="post" action="/login">
<input name="email"><input name="password" type="password">
<input name="next" type="hidden" value="${next}">
<button>Log in</button></form>`);

const list = (q, orders) =>
  html(`<form><input name="q"></form>
<h1>Orders with “${q}”</h1>
${orders.map(({ id }) => `<a href="/orders/${id}">${id}</a>`).join('')}`);

const page = ({ id, note, status }, user) =>
  html(`<h1>${id}: ${status}</h1>
<p>${note}</p><i>${user ? `for ${user.id}` : 'nobody'}</i>
<form method="post" action="/orders/${id}/note"><input name="note">
<button>Save</button></form>
<form method="post" action="/orders/${id}/cancellation">
<button id="cancel">Cancel</button></form>`);
// --8<-- [end:view]
