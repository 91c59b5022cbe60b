// --8<-- [start:refresh]
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Sessions with refresh tokens that rotate. A token is `sid.n.mac`: the
 * session, its number in it, and a MAC by `secret` (32 random bytes). The
 * store keeps only the number that is due, so it holds nothing to steal,
 * and a token that was made up never gets as far as the store. */
export function createSessions(deps) {
  const { store, secret, grace = 10_000, now = Date.now } = deps;
  const { reused = () => {} } = deps; // (user, sid): tell somebody

  const { write, read } = form(secret);

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
function form(secret) {
  const mac = (text) =>
    createHmac('sha256', secret).update(text).digest('base64url');
  const write = (sid, n) => `${sid}.${n}.${mac(`${sid}.${n}`)}`;

  function read(token) {
    const form = /^([\w-]{22})\.(\d{1,9})\.([\w-]{43})$/;
    const [, sid, n, given] = form.exec(token) ?? [];
    if (!sid) return null;
    const right = Buffer.from(mac(`${sid}.${n}`));
    const genuine = timingSafeEqual(Buffer.from(given), right);
    return genuine ? { sid, n: Number(n) } : null;
  }
  return { write, read };
}
// --8<-- [end:form]
