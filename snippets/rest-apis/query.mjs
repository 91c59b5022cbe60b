// --8<-- [start:query]
import { Problem } from './problem.mjs';

const SORTS = ['created', '-created', 'total', '-total'];
const STATUS = ['open', 'paid', 'shipped', 'cancelled'];

/** GET /orders?limit=&after=&status=&sort=, each at most once. */
export function listQuery(query) {
  const { limit = '20', sort = '-created', status, after, ...rest } = query;
  const right =
    Object.values(query).every((value) => typeof value === 'string') &&
    /^[1-9]\d?$|^100$/.test(limit) &&
    SORTS.includes(sort) &&
    (status === undefined || STATUS.includes(status)) &&
    Object.keys(rest).length === 0;
  if (!right) throw new Problem(400, 'See /openapi.json for the parameters.');
  return { limit: Number(limit), sort, status, after: position(after, sort) };
}

/** Where the next page begins. Opaque for clients, so that it may change. */
export const cursor = ({ total, seq }, sort) =>
  Buffer.from(JSON.stringify([sort, total, seq])).toString('base64url');

function position(after, sort) {
  if (after === undefined) return null;
  try {
    const text = Buffer.from(after, 'base64url').toString();
    const [of, total, seq] = JSON.parse(text);
    if (of === sort && [total, seq].every(Number.isSafeInteger)) {
      return { total, seq };
    }
  } catch {
    // not JSON or not a list: the same answer
  }
  throw new Problem(400, 'after: take it from the page before, as it is.');
}
// --8<-- [end:query]
