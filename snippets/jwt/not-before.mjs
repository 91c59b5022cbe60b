import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { away } from './unavailable.mjs';

// --8<-- [start:not-before]
/** Log out everywhere: of each user the time before which no token counts.
 * `end(user)` sets it, `revoked({ sub, iat })` compares. What Redis said is
 * believed for `cacheMs`, so a logout counts that much later. `lifetime` is
 * that of a token, in seconds: older entries say nothing.
 * @param {{ redis: import('ioredis').Redis, lifetime: number,
 *   cacheMs?: number, patienceMs?: number, most?: number,
 *   now?: () => number }} deps */
export function createNotBefore({ redis, lifetime, ...deps }) {
  const { cacheMs = 1000, patienceMs = 250, most = 100_000 } = deps;
  const { now = Date.now } = deps;
  numbers({ lifetime, most });
  numbers({ cacheMs }, WAIT);
  numbers({ patienceMs }, { least: 1, most: WAIT.most });
  const known = new Map(); // of each user { since, until }, oldest first
  const key = (user) => `not-before:${user}`;
  const ask = (task) =>
    withEnd(Promise.try(task), AbortSignal.timeout(patienceMs)).catch(away);

  async function end(user) {
    // tokens of this very second count as old: iat has no more digits
    const since = Math.floor(now() / 1000) + 1;
    await ask(() => redis.set(key(user), since, 'EX', lifetime + 60));
    known.delete(user);
  }

  async function revoked({ sub, iat }) {
    let entry = known.get(sub);
    if (!entry || entry.until <= now()) {
      const since = Number(await ask(() => redis.get(key(sub)))) || 0;
      entry = { since, until: now() + cacheMs };
      known.delete(sub);
      known.set(sub, entry);
      const [oldest] = known.keys();
      if (known.size > most) known.delete(oldest);
    }
    return !(iat >= entry.since);
  }
  return { end, revoked };
}
// --8<-- [end:not-before]
