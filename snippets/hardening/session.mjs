// --8<-- [start:session]
import { createHash, randomBytes } from 'node:crypto';
import { cookieOf } from '../jwt/cookies.mjs';

const HOUR = 60 * 60 * 1000;
const NAME = '__Host-session'; // Secure, path /, no Domain, or not taken
// 'strict' would log out whoever follows a link to us
const SAFE = { httpOnly: true, secure: true, sameSite: 'lax', path: '/' };
const hash = (id) => createHash('sha256').update(id).digest('base64url');

/** `rows`: get, set, delete, async or not; in Redis they expire by
 * themselves, a Map keeps all and is for tests. What they hold opens nothing
 * if it leaks: hashes of ids. */
export function sessionsOf(deps = {}) {
  const { rows = new Map(), life = HOUR, now = Date.now } = deps;
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
