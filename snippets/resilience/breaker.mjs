// --8<-- [start:breaker]
import { WAIT, numbers } from '../validation/numbers.mjs';
import { DeadlineError, deadline } from './deadline.mjs';

export class BreakerOpen extends Error {
  name = 'BreakerOpen';
  status = 503;
}

/** A breaker for one dependency. `run(task, { signal })` gives the task a
 * signal and `timeoutMs`. The timeout is inside: what hangs has failed. When
 * of the last `calls` at least the `share` failed, it refuses for `openMs`;
 * then one call is the probe, and the others go on being refused.
 * @param {{ timeoutMs?: number, calls?: number, share?: number,
 *   openMs?: number, now?: () => number, changed?: (state: string) => void,
 *   isFailure?: (seen: { threw: boolean, error?: unknown,
 *     answer?: unknown }) => boolean | Promise<boolean> }} [options] */
export function createBreaker(options = {}) {
  const {
    timeoutMs = 1000,
    calls = 10,
    share = 0.5,
    openMs = 5000,
  } = options;
  const { isFailure = ({ threw }) => threw, changed = () => {} } = options;
  const { now = () => performance.now() } = options;
  numbers({ calls });
  numbers({ timeoutMs, openMs }, WAIT);
  numbers({ share }, { above: 0, most: 1 });
  let state = 'closed';
  let failures = []; // of the newest calls: 1 is a failure, 0 is none
  let openedAt = 0;
  let probing = false;
  let round = 0;

  // --8<-- [end:breaker]

  // --8<-- [start:count]
  function turn(next) {
    state = next;
    round += 1;
    failures = [];
    if (next === 'open') openedAt = now();
    (async () => changed(next))().catch(() => {}); // only looks on
  }

  function count(failed) {
    if (state !== 'closed') return turn(failed ? 'open' : 'closed');
    failures = [...failures, failed ? 1 : 0].slice(-calls);
    const bad = failures.reduce((sum, one) => sum + one, 0);
    if (failures.length === calls && bad >= share * calls) turn('open');
  }
  // --8<-- [end:count]

  // --8<-- [start:run]
  async function run(task, { signal } = {}) {
    signal?.throwIfAborted();
    if (state === 'open' && now() - openedAt >= openMs) turn('half-open');
    if (state === 'open' || probing) throw new BreakerOpen('not asked');
    const begun = round; // what ends after a change says nothing of now
    const since = now();
    const probe = state === 'half-open';
    probing = probe;
    const time = deadline(timeoutMs, { signal });
    let failed = true;
    try {
      const seen = await time.run((scope) => judged(task, scope));
      failed = seen.failed;
      if (seen.threw) throw seen.error;
      return seen.answer;
    } catch (error) {
      // a client that left accuses nobody, nor does one that gave no time
      const hasty = now() - since < timeoutMs / 2;
      const left = hasty || !(signal?.reason instanceof DeadlineError);
      if (signal?.aborted && left) failed = undefined;
      throw error;
    } finally {
      time.end();
      if (probe) probing = false;
      if (begun === round && failed !== undefined) count(failed);
    }
  }

  async function judged(task, scope) {
    const seen = { threw: false };
    try {
      seen.answer = await task(scope);
    } catch (error) {
      Object.assign(seen, { threw: true, error });
    }
    const verdict = (async () => isFailure(seen))().catch(() => true);
    return { ...seen, failed: Boolean(await verdict) };
  }
  return { run, state: () => state };
}
// --8<-- [end:run]
