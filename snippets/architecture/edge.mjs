// --8<-- [start:edge]
// What HTTP and the shape of its input need in all three versions.
import { STATUS_CODES } from 'node:http';

export class Problem extends Error {
  constructor(status, detail, members = {}) {
    super(detail);
    this.status = status;
    this.members = members;
  }
}

/** `authenticate(req)` says who it is, `{ id }`, or null. */
export function identify(authenticate) {
  return async (req, res, next) => {
    req.user = await authenticate(req);
    if (!req.user) throw new Problem(401, 'Say who you are.');
    next();
  };
}
// --8<-- [end:edge]

// --8<-- [start:problems]
// an error may say anything: a status of 200 would be a success
const isClientError = (status) =>
  Number.isInteger(status) && status >= 400 && status < 500;

/** The last middleware: whatever is not our own answer is a 500. */
export function problems({ logger = console } = {}) {
  return (error, req, res, next) => {
    if (res.headersSent) return next(error);
    // of the body's parser, or of the router: /orders/%zz
    const theirs = error.expose || error instanceof URIError;
    const known =
      error instanceof Problem || (theirs && isClientError(error.status));
    if (!known) logger.error({ error }, 'request failed');
    const status = known ? error.status : 500;
    const detail = error instanceof Problem ? error.message : undefined;
    const title = STATUS_CODES[status];
    return res
      .status(status)
      .type('application/problem+json')
      .json({ title, status, detail, ...(known && error.members) });
  };
}
// --8<-- [end:problems]

// --8<-- [start:parse]
/** A new object with what a client may say, or errors with pointers. */
export function parseOrder(body) {
  const errors = [];
  const check = (right, pointer, detail) => {
    if (!right && errors.length < 20) errors.push({ pointer, detail });
  };
  const { items, note } = Object(body);
  const some = Array.isArray(items) && items.length > 0 && items.length <= 50;
  check(some, '#/items', 'must be a list of 1 to 50 items');
  const text = typeof note === 'string' && note.length <= 500;
  const clean = text && note.isWellFormed() && !note.includes('\0');
  check(note === undefined || clean, '#/note', 'must be 500 characters');
  const value = { items: [], note };
  for (const [n, item] of (some ? items : []).entries()) {
    const { sku, quantity } = Object(item);
    const known = typeof sku === 'string' && /^[a-z0-9-]{1,40}$/.test(sku);
    check(known, `#/items/${n}/sku`, 'must be a SKU');
    const few = Number.isInteger(quantity) && quantity > 0 && quantity < 1000;
    check(few, `#/items/${n}/quantity`, 'must be 1 to 999');
    value.items.push({ sku, quantity });
  }
  return errors.length ? { errors } : { value };
}
// --8<-- [end:parse]
