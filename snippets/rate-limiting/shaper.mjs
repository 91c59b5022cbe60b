// --8<-- [start:shaper]
import { setTimeout as sleep } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';

/** Too many wait already, or the wait would be too long. */
export class Full extends Error {
  constructor(waitMs) {
    super(`the queue is full: about ${Math.ceil(waitMs)} ms`);
    this.name = 'Full';
    this.waitMs = waitMs;
  }
}

/** A leaky bucket: calls begin one after the other, `perSecond` of them, and
 * wait for their turn instead of being refused.
 * @param {{ perSecond: number, waiting?: number, mostMs?: number }} limits */
export function createShaper({ perSecond, waiting = 100, mostMs = 10_000 }) {
  numbers({ perSecond }, { above: 0 });
  numbers({ waiting });
  numbers({ mostMs }, WAIT);
  const gap = 1000 / perSecond;
  let [next, queued] = [0, 0]; // when the next call may begin; who waits

  return async function run(task, { signal } = {}) {
    signal?.throwIfAborted();
    const now = performance.now();
    const at = Math.max(now, next);
    if (queued >= waiting || at - now > mostMs) throw new Full(at - now);
    next = at + gap;
    queued += 1;
    try {
      await sleep(at - now, undefined, { signal }); // who goes leaves a gap
    } finally {
      queued -= 1;
    }
    return task({ signal });
  };
}
// --8<-- [end:shaper]
