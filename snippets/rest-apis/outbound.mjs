// --8<-- [start:outbound]
import { setTimeout as wait } from 'node:timers/promises';

const SAFE = new Set(['GET', 'HEAD', 'PUT', 'DELETE']); // to say twice

/** A fetch for calls to other services. Each try ends in time, and retries
 * come out of a budget: one for every ten calls, ten at most in reserve. */
export function createCall(options = {}) {
  const { fetch = globalThis.fetch, timeoutMs = 1000, tries = 3 } = options;
  const { sleep = wait, random = Math.random, reserve = 10 } = options;
  let tenths = 10 * reserve; // whole numbers, so that ten of them are one

  return async function call(url, { signal, ...request } = {}) {
    const { method = 'GET', headers } = request;
    const twice =
      SAFE.has(method) || new Headers(headers).has('Idempotency-Key');
    tenths = Math.min(tenths + 1, 10 * reserve);
    for (let attempt = 1; ; attempt += 1) {
      const timeout = AbortSignal.timeout(timeoutMs);
      const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
      let failure;
      try {
        const answer = await fetch(url, { ...request, signal: either });
        if (answer.status < 500) return answer;
        await answer.body?.cancel(); // gives the connection back
        failure = new Error(`${url} answered ${answer.status}`);
      } catch (error) {
        failure = error;
      }
      const again = twice && attempt < tries && tenths >= 10;
      if (!again || signal?.aborted) throw failure;
      tenths -= 10;
      await sleep(random() * 100 * 2 ** attempt);
    }
  };
}
// --8<-- [end:outbound]
