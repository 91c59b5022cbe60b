// --8<-- [start:interval]
import { setTimeout as pause } from 'node:timers/promises';
import { numbers, WAIT } from '../validation/numbers.mjs';

/** Runs `task(signal)`, waits `everyMs` after it has ended, and begins again,
 * until `signal` aborts. A failure is given to `failed`; the next run comes
 * all the same. Settles when the last run has ended.
 * @param {(signal: AbortSignal) => unknown} task
 * @param {number} everyMs @param {{ signal: AbortSignal,
 *   failed(error: unknown): unknown }} options */
export async function repeat(task, everyMs, { signal, failed }) {
  numbers({ everyMs }, WAIT);
  const tell = async (error) => failed(error);
  while (!signal.aborted) {
    try {
      await task(signal);
    } catch (error) {
      tell(error).catch(() => {}); // who reports must not end it either
    }
    await pause(everyMs, undefined, { signal }).catch(() => {}); // aborted
  }
}
// --8<-- [end:interval]
