// --8<-- [start:outbound]
import { setTimeout as wait } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';

const SAFE = new Set(['GET', 'HEAD', 'PUT', 'DELETE']); // to say twice

/** A fetch for calls to other services. Each try ends in time, and retries
 * come out of a budget: one for every ten calls, ten at most in reserve. */
export function createCall(options = {}) {
  const { fetch = globalThis.fetch, timeoutMs = 1000, tries = 3 } = options;
  const { sleep = wait, random = Math.random, reserve = 10 } = options;
  numbers({ tries });
  numbers({ timeoutMs, reserve }, WAIT);
  let tenths = 10 * reserve; // whole numbers, so that ten of them are one

  return async function call(url, { signal: given, ...init } = {}) {
    const request = new Request(url, init); // one form for whatever is given
    const { method, headers } = request;
    const signal = given ?? request.signal;
    const twice = SAFE.has(method) || headers.has('Idempotency-Key');
    tenths = Math.min(tenths + 1, 10 * reserve);
    for (let attempt = 1; ; attempt += 1) {
      const last = !twice || attempt >= tries;
      const any = [signal, AbortSignal.timeout(timeoutMs)];
      let failure;
      try {
        const asked = last ? request : request.clone(); // a body is read once
        const answer = await fetch(asked, { signal: AbortSignal.any(any) });
        if (answer.status < 500) return answer;
        await answer.body?.cancel(); // gives the connection back
        failure = new Error(`${request.url} answered ${answer.status}`);
      } catch (error) {
        failure = error;
      }
      if (last || tenths < 10 || signal.aborted) throw failure;
      tenths -= 10;
      await sleep(random() * 100 * 2 ** attempt, undefined, { signal });
    }
  };
}
// --8<-- [end:outbound]
