// --8<-- [start:memory]
import { numbers } from '../validation/numbers.mjs';
import { away } from './unavailable.mjs';

const DAY = 24 * 60 * 60 * 1000;

/** Sessions in this process, for trials. `life` in ms, whatever is done in
 * between; beyond `most` the oldest session ends.
 * @param {{ life?: number, most?: number }} limits */
export function memoryStore({ life = 30 * DAY, most = 100_000 } = {}) {
  numbers({ life, most });
  const sessions = new Map(); // oldest first
  return {
    async start(sid, user, now) {
      for (const [old, { until }] of sessions) {
        if (until > now && sessions.size < most) break;
        sessions.delete(old);
      }
      sessions.set(sid, { user, due: 0, at: now, until: now + life });
    },
    /** Token `n` is presented: 'next' if it was due, or later than that,
     * which a store says that lost its last writes; 'again' if the one
     * before was due a moment ago; 'reused' ends the session. */
    async take(sid, n, now, grace) {
      const session = sessions.get(sid);
      if (!session || now >= session.until) return { outcome: 'unknown' };
      const { user, due, at } = session;
      if (n >= due) {
        Object.assign(session, { due: n + 1, at: now });
        return { outcome: 'next', user };
      }
      const late = n === due - 1 && now - at < grace;
      if (late) return { outcome: 'again', user };
      sessions.delete(sid);
      return { outcome: 'reused', user };
    },
    async end(sid) {
      sessions.delete(sid);
    },
  };
}
// --8<-- [end:memory]

// --8<-- [start:redis]
const START = `
redis.call('HSET', KEYS[1], 'user', ARGV[1], 'due', 0, 'at', ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`;

const TAKE = `
local found = redis.call('HMGET', KEYS[1], 'user', 'due', 'at')
local user, due, at = unpack(found)
if not user then return {'unknown'} end
local n, now, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if n >= tonumber(due) then
  redis.call('HSET', KEYS[1], 'due', n + 1, 'at', ARGV[2])
  return {'next', user}
end
if n == due - 1 and now - at < grace then return {'again', user} end
redis.call('DEL', KEYS[1])
return {'reused', user}`;

/** The same in Redis, where a script runs to its end: no two tabs, processes
 * or thieves can both be told 'next'.
 * @param {import('ioredis').Redis} redis @param {{ life?: number }} limits */
export function redisStore(redis, { life = 30 * DAY } = {}) {
  numbers({ life });
  const key = (sid) => `session:${sid}`;
  return {
    async start(sid, user, now) {
      const values = [user, now, life];
      await redis.eval(START, 1, key(sid), ...values).catch(away);
    },
    async take(sid, n, now, grace) {
      const values = [n, now, grace];
      const run = redis.eval(TAKE, 1, key(sid), ...values);
      const [outcome, user] = await run.catch(away);
      return { outcome, user };
    },
    end: (sid) => redis.del(key(sid)).catch(away),
  };
}
// --8<-- [end:redis]
