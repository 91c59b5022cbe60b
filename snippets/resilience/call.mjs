// --8<-- [start:upstream]
import { WAIT, numbers } from '../validation/numbers.mjs';
import { createBreaker } from './breaker.mjs';
import { createBulkhead } from './bulkhead.mjs';
import { deadline, deadlineHeader } from './deadline.mjs';
import { createRetry, retryAfterMs } from './retry.mjs';

export class UpstreamError extends Error {
  name = 'UpstreamError';
  status = 502; // to our client: what they answered is not our answer
  constructor(message, { mayPass = false, ...options } = {}) {
    super(message, options);
    this.mayPass = mayPass;
  }
}

// --8<-- [end:upstream]

// --8<-- [start:call]
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** A fetch for one dependency, in this order from outside to inside:
 * deadline, retry, bulkhead, breaker, timeout, fetch and its body. A refusal
 * of our own is no failure of the dependency, so no breaker counts it.
 * @param {{ fetch?: typeof fetch, totalMs?: number, timeoutMs?: number,
 *   mostBytes?: number, tries?: number, atOnce?: number }} [options] and
 *   those of its three parts */
export function createCall(options = {}) {
  const { fetch = globalThis.fetch, totalMs = 2000 } = options;
  const { mostBytes = 1_000_000 } = options;
  numbers({ mostBytes });
  numbers({ totalMs }, WAIT);
  const isFailure = ({ threw, error }) => threw && error?.answered !== 429;
  const retry = createRetry(options);
  const { enter } = createBulkhead(options);
  const breaker = createBreaker({ isFailure, ...options });

  // --8<-- [end:call]

  // --8<-- [start:order]
  async function call(url, { signal: outer, headers, ...init } = {}) {
    const sent = new Headers(headers);
    const method = (init.method ?? 'GET').toUpperCase();
    const twice = IDEMPOTENT.has(method) || sent.has('Idempotency-Key');
    const spent = init.body?.[Symbol.asyncIterator]; // a stream is read once
    const total = deadline(totalMs, { signal: outer });
    const once = async (scope) => {
      for (const pair of Object.entries(deadlineHeader(scope)))
        sent.set(...pair);
      const { signal } = scope;
      const asked = (async () =>
        fetch(url, { ...init, headers: sent, signal }))();
      const answer = await asked.catch((cause) => {
        signal.throwIfAborted();
        const passes = { cause, mayPass: true };
        throw new UpstreamError('cannot be reached', passes);
      });
      return judged(answer, mostBytes);
    };
    const guarded = ({ signal }) =>
      enter((scope) => breaker.run(once, scope), { signal });
    try {
      const { signal, left } = total;
      const how = { idempotent: twice && !spent, signal, left };
      return await total.run(() => retry(guarded, how));
    } finally {
      total.end();
    }
  }
  return { call, state: breaker.state };
}
// --8<-- [end:order]

// --8<-- [start:judged]
const PASSING = new Set([429, 502, 503, 504]); // may be over in a moment

/** fetch is content with a 500, and with a body without an end. */
async function judged({ status, headers, body }, mostBytes) {
  const parts = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > mostBytes) throw new UpstreamError('a body without an end');
    parts.push(part);
  }
  if (status >= 500 || status === 429) {
    const mayPass = PASSING.has(status);
    const error = new UpstreamError(`it answered ${status}`, { mayPass });
    throw Object.assign(error, {
      answered: status,
      retryAfterMs: retryAfterMs(headers.get('Retry-After')),
    });
  }
  return { status, headers, text: Buffer.concat(parts).toString() };
}
// --8<-- [end:judged]
