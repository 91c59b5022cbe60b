// --8<-- [start:session]
import { createHash, randomBytes } from 'node:crypto';
import { cookieOf } from '../jwt/cookies.mjs';
import { numbers } from '../validation/numbers.mjs';

const HOUR = 60 * 60 * 1000;
const NAME = '__Host-session'; // Secure, path /, no Domain, or not taken
// with 'strict', who follows another site's link to us comes logged out
const SAFE = { httpOnly: true, secure: true, sameSite: 'lax', path: '/' };
const hash = (id) => createHash('sha256').update(id).digest('base64url');

/** `rows`: get, set, delete, async or not; in Redis they expire by
 * themselves. What they hold opens nothing if it leaks: hashes of ids. */
export function sessionsOf(deps = {}) {
  const { rows = inMemory(10_000), life = HOUR, now = Date.now } = deps;
  numbers({ life }); // with a text, `until` would be years away
  const keyOf = (req) => hash(cookieOf(req, NAME) ?? '');
  return {
    async start(req, res, user) {
      await rows.delete(keyOf(req)); // the one before ends here
      const id = randomBytes(32).toString('base64url'); // ours, never theirs
      await rows.set(hash(id), { user, until: now() + life });
      res.cookie(NAME, id, { ...SAFE, maxAge: life });
    },
    async userOf(req) {
      const row = await rows.get(keyOf(req));
      return row && row.until > now() ? row.user : null;
    },
    async end(req, res) {
      await rows.delete(keyOf(req));
      res.clearCookie(NAME, SAFE);
    },
  };
}
// --8<-- [end:session]

// --8<-- [start:memory]
/** For one process: beyond `most` the oldest goes, the next to expire. */
function inMemory(most) {
  const rows = new Map();
  const set = (key, row) => {
    if (rows.size >= most) rows.delete(rows.keys().next().value);
    rows.set(key, row);
  };
  const get = (key) => rows.get(key);
  return { get, set, delete: (key) => rows.delete(key) };
}
// --8<-- [end:memory]
