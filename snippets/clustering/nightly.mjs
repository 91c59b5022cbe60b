import { randomUUID } from 'node:crypto';
import { withEnd } from '../databases/end.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

// Only the holder may end a lease, or say that the day is done.
const IF_MINE = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if ARGV[2] == 'free' then return redis.call('DEL', KEYS[1]) end
  redis.call('SET', KEYS[1], 'done', 'PX', ARGV[3]) return 1`;
const KEEP_MS = 3 * 24 * 3_600_000; // so that late processes see it

// --8<-- [start:nightly]
/** Returns `tick()`, which any number of processes call as often as they
 * like: `work({ key, signal })` is done once for each `period()`. A
 * holder that dies is replaced when its lease has ended, so `work` may begin
 * twice: hand `key` on as an idempotency key.
 * @param {{ redis: import('ioredis').Redis, name: string, work: Function,
 *   period?: () => string, mostMs?: number, leaseMs?: number,
 *   logger?: Console }} deps */
export function createNightly({ redis, name, work, ...deps }) {
  const { mostMs = 50_000, leaseMs = 60_000, logger = console } = deps;
  const { period = () => new Date().toISOString().slice(0, 10) } = deps;
  numbers({ mostMs, leaseMs }, { least: 1, most: WAIT.most });
  if (mostMs >= leaseMs) throw new RangeError('mostMs must be below leaseMs');

  return async function tick() {
    const [key, token] = [`nightly:${name}:${period()}`, randomUUID()];
    const tell = (error) => logger.error({ key, error }, 'the nightly job');
    const settle = (how) =>
      withEnd(
        Promise.try(() => redis.eval(IF_MINE, 1, key, token, how, KEEP_MS)),
        AbortSignal.timeout(leaseMs - mostMs),
      ).catch(tell);
    // the holder ends before its lease does, and only then may another begin
    const signal = AbortSignal.timeout(mostMs);
    const lease = [key, token, 'PX', leaseMs, 'NX'];
    const took = Promise.try(() => redis.set(...lease));
    // without the store nobody does it, for now, rather than everybody
    if ((await withEnd(took, signal).catch(tell)) !== 'OK') return false;
    try {
      await withEnd(Promise.try(work, { key, signal }), signal);
    } catch (error) {
      tell(error);
      // work that ignores its signal goes on: then the lease keeps others out
      if (!signal.aborted) await settle('free');
      return false;
    }
    return (await settle('done')) === 1;
  };
}
// --8<-- [end:nightly]
