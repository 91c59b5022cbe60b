import { randomBytes } from 'node:crypto';
import { limitsOf } from './limits.mjs';

// --8<-- [start:tickets]
/** One ticket opens one socket, once, soon. It may stand in a URL, and so in
 * a log: by then it is used, or void within seconds. In memory; several
 * processes share a store, and its methods may be async.
 * @param {{ ttlMs?: number, most?: number, now?: () => number }} limits */
export function createTickets({ now = Date.now, ...options } = {}) {
  const { ttlMs, most } = limitsOf({ ttlMs: 10_000, most: 10_000 }, options);
  const issued = new Map(); // in the order of their end

  function issue(session) {
    for (const [old, { until }] of issued) {
      if (until > now()) break;
      issued.delete(old);
    }
    if (issued.size >= most) throw new Error('too many tickets');
    const ticket = randomBytes(32).toString('base64url');
    issued.set(ticket, { session, until: now() + ttlMs });
    return ticket;
  }

  function redeem(ticket) {
    const found = issued.get(ticket);
    issued.delete(ticket);
    return found && found.until > now() ? found.session : undefined;
  }

  return { issue, redeem };
}
// --8<-- [end:tickets]
