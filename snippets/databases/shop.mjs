// DATABASE_URL=postgresql://… node serve.mjs databases/shop.mjs, with the
// tables of its schema in that database
// --8<-- [start:shop]
import express from 'express';
import { randomUUID } from 'node:crypto';
import { withEnd } from './end.mjs';
import { Failure, databaseErrors } from './errors.mjs';
import { createExport } from './export.mjs';
import { createList } from './list.mjs';
import { createOnce } from './once.mjs';
import { createPool } from './pool.mjs';
import { createReady } from './ready.mjs';

/** The shop on PostgreSQL, made of this topic's modules.
 * @param {{ url?: string, db?: object, authenticate?: Function,
 *   logger?: Console, signal?: AbortSignal, leaving?: AbortSignal }} deps */
export function createApp(deps = {}) {
  const { authenticate = () => null, logger = console, leaving } = deps;
  const { url = process.env.DATABASE_URL, signal, limits } = deps;
  const db = deps.db ?? createPool({ url, limits, logger, signal });
  const [list, once] = [createList({ db }), createOnce({ db })];
  const send = createExport({ db, logger });
  const app = express().disable('x-powered-by');
  app.use(createReady({ db, leaving }));
  app.use(async (req, res, next) => {
    const gone = new AbortController(); // nobody waits for the answer
    res.once('close', () => gone.abort(new Error('the client is gone')));
    req.gone = gone.signal;
    req.user = await withEnd(authenticate(req), AbortSignal.timeout(5_000));
    if (!req.user) throw new Failure(401, 'Who are you?');
    next();
  });
  // --8<-- [end:shop]

  app.post('/orders', express.json({ limit: '16kb' }), async (req, res) => {
    const { body, user } = req;
    const key = req.get('Idempotency-Key');
    const asked = { customer: user.id, key, body };
    // no signal: who sends an order and goes has still ordered
    const order = await once(asked, (tx) => place(tx, user.id, body));
    res.status(201).location(`/orders/${order.id}`).json(order);
  });

  app.get('/orders', async (req, res) => {
    const { sort, after, limit = '20' } = req.query;
    const asked = {
      customer: req.user.id,
      sort,
      after,
      limit: Number(limit),
    };
    res.json(await list(asked, { signal: req.gone }));
  });

  app.get('/orders.ndjson', async (req, res) => {
    const text = `SELECT id, status, total, created_at FROM orders
      WHERE customer = $1 ORDER BY created_at, id`;
    await send(res, text, [req.user.id]);
  });
  app.use(databaseErrors({ logger }));
  return app;
}

const TAKE = `UPDATE products SET stock = stock - $2
  WHERE sku = $1 AND stock >= $2 RETURNING price_cents`;

async function place({ query }, customer, body) {
  const items = parse(body);
  let total = 0;
  for (const { sku, quantity } of items) {
    const [taken] = (await query(TAKE, [sku, quantity])).rows;
    if (!taken) throw new Failure(409, `There is not so much ${sku}.`);
    total += quantity * taken.price_cents;
  }
  const id = `ord_${randomUUID().replaceAll('-', '')}`;
  await query(
    'INSERT INTO orders (id, customer, items, total) VALUES ($1, $2, $3, $4)',
    [id, customer, JSON.stringify(items), total],
  );
  return { id, items, total, status: 'open' };
}

const isItem = (item) =>
  /^\w{1,40}$/.test(item?.sku) &&
  Number.isSafeInteger(item.quantity) &&
  item.quantity >= 1 &&
  item.quantity <= 999;

/** In one order of locks, whatever the order in the basket. */
function parse(body) {
  const items = body?.items;
  const right = Array.isArray(items) && items.length > 0 && items.length < 50;
  if (!right || !items.every(isItem)) throw new Failure(422, 'No order.');
  return items
    .map(({ sku, quantity }) => ({ sku, quantity }))
    .sort((a, b) => (a.sku < b.sku ? -1 : 1));
}
