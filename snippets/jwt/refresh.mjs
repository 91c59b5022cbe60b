import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { numbers } from '../validation/numbers.mjs';

// --8<-- [start:refresh]
/** Sessions with refresh tokens that rotate. A token is `sid.n.mac`: the
 * session, its number in it, and a MAC by `secret`: 32 random bytes, or a
 * list of such. The store keeps only the number that is due, so it holds
 * nothing to steal; a token that was made up never reaches it.
 * @param {{ store: object, secret: Buffer | Buffer[], grace?: number,
 *   reused?: Function, now?: () => number }} deps */
export function createSessions(deps) {
  const { store, secret, grace = 10_000, now = Date.now } = deps;
  // (user, sid): take back what the thief has; if that fails, so do we
  const { reused = () => {} } = deps;
  numbers({ grace }, { least: 0 });
  const { write, read } = form([secret].flat());

  return {
    async start(user) {
      const sid = randomBytes(16).toString('base64url');
      await store.start(sid, user, now());
      return { sid, user, token: write(sid, 0) };
    },

    /** The next token; null means: log in again. */
    async rotate(token) {
      const asked = read(token);
      if (!asked) return null;
      const { sid, n } = asked;
      const { outcome, user } = await store.take(sid, n, now(), grace);
      if (outcome === 'reused') await reused(user, sid);
      if (outcome !== 'next' && outcome !== 'again') return null;
      return { sid, user, token: write(sid, n + 1) };
    },

    /** Ends the session of this token; gives its id. */
    async end(token) {
      const asked = read(token);
      if (asked) await store.end(asked.sid);
      return asked?.sid ?? null;
    },
  };
}
// --8<-- [end:refresh]

// --8<-- [start:form]
import { demand } from './demand.mjs';

/** The first secret writes; all read, so that a new one logs nobody out. */
function form(secrets) {
  const long = (secret) => secret?.byteLength >= 32; // a text has no bytes
  const right = secrets.length > 0 && secrets.every(long);
  demand(right, 'secret: not 32 random bytes or more');

  const mac = (secret, text) =>
    createHmac('sha256', secret).update(text).digest('base64url');
  const write = (sid, n) => `${sid}.${n}.${mac(secrets[0], `${sid}.${n}`)}`;

  function read(token) {
    const form = /^([\w-]{22})\.(\d{1,9})\.([\w-]{43})$/;
    const [, sid, n, given] = form.exec(token) ?? [];
    if (!sid) return null;
    const genuine = secrets.some((secret) => {
      const right = mac(secret, `${sid}.${n}`);
      return timingSafeEqual(Buffer.from(given), Buffer.from(right));
    });
    return genuine ? { sid, n: Number(n) } : null;
  }
  return { write, read };
}
// --8<-- [end:form]
