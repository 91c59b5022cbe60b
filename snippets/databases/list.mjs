// --8<-- [start:list]
import { Failure } from './errors.mjs';

// what a client may sort by, and the SQL that we write for it
const SORTS = new Map([
  ['created', { column: 'created_at', type: 'timestamptz' }],
  ['total', { column: 'total', type: 'integer' }],
]);

/** `list(query)` gives a page of a customer's orders, newest or dearest
 * first, and where the next page begins. A client's words never become SQL.
 * @param {{ db: { query: Function } }} deps */
export function createList({ db }) {
  return async function list(asked, { signal } = {}) {
    const { customer, sort = 'created', limit = 20, after } = asked;
    const by = SORTS.get(sort);
    const isLimit = Number.isSafeInteger(limit) && limit > 0 && limit <= 100;
    if (!by || !isLimit) throw new Failure(400, 'Such a list there is not.');
    const { column, type } = by;
    const from = after === undefined ? undefined : parse(after, sort);
    // as text: a Date has milliseconds, PostgreSQL has microseconds
    const { rows } = await db.query(
      `SELECT id, status, total, created_at, ${column}::text AS at
       FROM orders WHERE customer = $1
       ${from ? `AND (${column}, id) < ($3::${type}, $4)` : ''}
       ORDER BY ${column} DESC, id DESC LIMIT $2`,
      [customer, limit + 1, ...(from ?? [])],
      { signal },
    );
    const items = rows.slice(0, limit);
    const next = rows.length > limit ? cursor(sort, items.at(-1)) : null;
    for (const item of items) delete item.at;
    return { items, next };
  };
}
// --8<-- [end:list]

const cursor = (sort, { at, id }) =>
  Buffer.from(JSON.stringify([sort, at, id])).toString('base64url');

const SHAPES = new Map([
  ['created', /^[\d :.+-]{10,40}$/],
  ['total', /^-?\d{1,9}$/],
]);

function parse(after, sort) {
  try {
    const [by, at, id] = JSON.parse(Buffer.from(after, 'base64url'));
    const right =
      by === sort && SHAPES.get(by).test(at) && /^\w{1,100}$/.test(id);
    if (right) return [at, id];
  } catch {
    // answered below
  }
  throw new Failure(400, 'This list has no such place.');
}
