// --8<-- [start:retry]
import { setTimeout as wait } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';

/** `retry(task, { idempotent, signal, left })`. It repeats only what is
 * idempotent and what may pass, and only out of a budget that all calls
 * share: one retry for every ten calls, `reserve` at most in store.
 * @param {{ tries?: number, reserve?: number, baseMs?: number,
 *   mostMs?: number, sleep?: Function, random?: () => number,
 *   mayPass?: (error: unknown) => boolean | Promise<boolean> }} [options] */
export function createRetry(options = {}) {
  const { tries = 3, reserve = 10, baseMs = 100, mostMs = 2000 } = options;
  const { sleep = wait, random = Math.random } = options;
  const { mayPass = (error) => error?.mayPass === true } = options;
  numbers({ tries });
  numbers({ reserve }, { least: 0 });
  numbers({ baseMs, mostMs }, WAIT);
  let tenths = 10 * reserve; // whole numbers, so that ten of them are one

  return async function retry(task, call = {}) {
    const { idempotent = false, signal, left = () => Infinity } = call;
    tenths = Math.min(tenths + 1, 10 * reserve);
    for (let attempt = 1; ; attempt += 1) {
      try {
        signal?.throwIfAborted();
        return await task({ attempt, signal });
      } catch (error) {
        const last = !idempotent || attempt >= tries || signal?.aborted;
        if (last || tenths < 10 || !(await mayPass(error))) throw error;
        const most = Math.min(baseMs * 2 ** (attempt - 1), mostMs);
        const spread = random() * most; // full jitter: from 0 to all of it
        const ms = spread + (error?.retryAfterMs ?? 0);
        if (ms > mostMs || ms >= left()) throw error; // it would be in vain
        tenths -= 10;
        await sleep(ms, undefined, { signal });
      }
    }
  };
}
// --8<-- [end:retry]

// --8<-- [start:retry-after]
/** Milliseconds: the header has seconds or a date; undefined for neither.
 * @param {string | null} text @param {number} [now] */
export function retryAfterMs(text, now = Date.now()) {
  if (/^\d+$/.test(text)) return 1000 * Number(text); // may be for ever
  const at = /GMT$/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
// --8<-- [end:retry-after]
