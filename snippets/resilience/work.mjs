// --8<-- [start:work]
import { setTimeout as sleep } from 'node:timers/promises';

/** A machine that does one thing at a time: a hundred a second. */
export function createWork({ ms = 10 } = {}) {
  let last = Promise.resolve();
  return function work() {
    last = last.then(() => sleep(ms));
    return last;
  };
}
// --8<-- [end:work]
