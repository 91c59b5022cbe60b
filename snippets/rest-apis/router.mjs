// --8<-- [start:collection]
import { Router } from 'express';
import { randomUUID } from 'node:crypto';
import { onceOf } from './idempotency.mjs';
import { mergePatch } from './patch.mjs';
import { Problem, invalid, methods } from './problem.mjs';
import { cursor, listQuery } from './query.mjs';
import { order } from './store.mjs';
import { etag, mustMatch } from './version.mjs';

export function ordersRouter({ store, parseOrder, priceOf }) {
  const router = Router();
  const mine = (req) => store.of(req.user.id);
  const { parse, price } = contentOf({ parseOrder, priceOf });

  router
    .route('/')
    .get(async (req, res) => {
      const query = listQuery(req.query);
      const limit = query.limit + 1; // one more: is there a next page?
      const rows = await mine(req).list({ ...query, limit });
      const page = rows.slice(0, query.limit);
      const more = rows.length > page.length;
      const next = more ? cursor(page.at(-1), query.sort) : null;
      res.json({ items: page.map(order), next });
    })
    .post(json('application/json'), async (req, res) => {
      const content = await parse(req.body);
      const once = onceOf(req, content);
      let placed = await mine(req).replay(once); // whatever prices are now
      if (placed === undefined) {
        const priced = await price(content, req.deadline);
        const id = `ord_${randomUUID()}`;
        const fresh = { id, ...priced, status: 'open', version: 1 };
        placed = await mine(req).insert(fresh, once);
      }
      if (!placed) throw invalid([KEY_OF_ANOTHER]);
      res.location(`${req.baseUrl}/${placed.id}`).set('ETag', etag(placed));
      res.status(201).json(placed);
    })
    .all(methods('GET', 'HEAD', 'POST'));
  // --8<-- [end:collection]
  // --8<-- [start:one]
  const find = async (req) => {
    const found = await mine(req).get(req.params.id);
    // somebody else's is as unknown as one that never was
    if (!found) throw new Problem(404, 'You have no such order.');
    return found;
  };
  const read = async (req, body) => price(await parse(body), req.deadline);
  const change = async (req, res, found, changed) => {
    const { id, version } = found;
    const after = await mine(req).update(id, version, {
      ...found,
      ...changed,
    });
    // somebody was between our reading and our writing
    if (!after) throw new Problem(412, 'The order is another by now.');
    res.set('ETag', etag(after)).json(after);
  };

  router
    .route('/:id')
    .get(async (req, res) => {
      const found = await find(req);
      res.set('ETag', etag(found)).json(found); // Express makes it 304
    })
    .put(json('application/json'), async (req, res) => {
      const found = await findOpen(req, find);
      await change(req, res, found, await read(req, req.body));
    })
    .patch(json(MERGE), async (req, res) => {
      const found = await findOpen(req, find);
      const merged = mergePatch(found, req.body);
      await change(req, res, found, await read(req, merged));
    })
    .delete(async (req, res) => {
      const { id, version } = await findOpen(req, find);
      const removed = await mine(req).remove(id, version);
      if (!removed) throw new Problem(412, 'The order is another by now.');
      res.sendStatus(204);
    })
    .all(methods('GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'));
  // --8<-- [end:one]

  // not every change is a replacement: this one has rules of its own
  router
    .route('/:id/cancellation')
    .post(async (req, res) => {
      const found = await find(req);
      mustMatch(req, found);
      if (!['open', 'paid'].includes(found.status)) {
        throw new Problem(409, `It is ${found.status}.`);
      }
      await change(req, res, found, { status: 'cancelled' });
    })
    .all(methods('POST'));
  return router;
}

// --8<-- [start:guards]
const MERGE = 'application/merge-patch+json';
const KEY_OF_ANOTHER = {
  header: 'Idempotency-Key',
  detail: 'was used for another order',
};

/** Refuses a body of another type before the parser skips it in silence. */
function json(type) {
  return (req, res, next) => {
    if (req.is(type)) return next();
    const headers = { 'Accept-Post': type, 'Accept-Patch': type };
    throw new Problem(415, `Send ${type}.`, { headers });
  };
}

async function findOpen(req, find) {
  const found = await find(req);
  mustMatch(req, found);
  if (found.status !== 'open')
    throw new Problem(409, `It is ${found.status}.`);
  return found;
}
// --8<-- [end:guards]

// --8<-- [start:content]
function contentOf({ parseOrder, priceOf }) {
  async function parse(body) {
    const { value, errors } = await parseOrder(body);
    if (errors) throw invalid(errors);
    return value;
  }
  /** With its total. `deadline` is the request's: up to the write, work for
   * nobody is given up; a retry with the same key begins it anew. */
  async function price(content, deadline) {
    const skus = content.items.map(({ sku }) => sku);
    const prices = await deadline.run(({ signal }) =>
      priceOf(skus, { signal }),
    );
    const unknown = skus.flatMap((sku, n) =>
      prices.has(sku)
        ? []
        : [{ pointer: `#/items/${n}/sku`, detail: 'is not on sale' }],
    );
    if (unknown.length) {
      // right in itself, but not in this shop, today
      const errors = { errors: unknown };
      throw new Problem(409, 'Not all of it is on sale.', errors);
    }
    const cents = ({ sku, quantity }) => quantity * prices.get(sku);
    const total = content.items.reduce((sum, item) => sum + cents(item), 0);
    return { ...content, total };
  }
  return { parse, price };
}
// --8<-- [end:content]
