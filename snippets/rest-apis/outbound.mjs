// --8<-- [start:outbound]
import { createRetry } from '../resilience/retry.mjs';
import { WAIT, numbers } from '../validation/numbers.mjs';

const SAFE = new Set(['GET', 'HEAD', 'PUT', 'DELETE']); // to say twice

/** A fetch for calls to other services. Each try ends in time, and retries
 * come out of a budget: one for every ten calls, ten at most in reserve.
 * @param {{ fetch?: typeof globalThis.fetch, timeoutMs?: number,
 *   tries?: number }} options */
export function createCall(options = {}) {
  const { fetch = globalThis.fetch, timeoutMs = 1000, tries = 3 } = options;
  numbers({ timeoutMs }, WAIT);
  const always = { baseMs: 200, mayPass: () => true };
  const retry = createRetry({ ...always, ...options });

  return async function call(url, { signal: given, ...init } = {}) {
    const request = new Request(url, init); // one form for whatever is given
    const { method, headers } = request;
    const signal = given ?? request.signal;
    const twice = SAFE.has(method) || headers.has('Idempotency-Key');

    async function once({ attempt }) {
      const last = !twice || attempt >= tries;
      const any = [signal, AbortSignal.timeout(timeoutMs)];
      const asked = last ? request : request.clone(); // a body is read once
      const answer = await fetch(asked, { signal: AbortSignal.any(any) });
      if (answer.status < 500) return answer;
      await answer.body?.cancel(); // gives the connection back
      throw new Error(`${request.url} answered ${answer.status}`);
    }
    return retry(once, { idempotent: twice, signal });
  };
}
// --8<-- [end:outbound]
