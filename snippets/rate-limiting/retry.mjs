// --8<-- [start:retry]
import { setTimeout as wait } from 'node:timers/promises';
import { retryAfterMs } from '../resilience/retry.mjs';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** fetch that does as a 429 or 503 tells it, and spreads the return: clients
 * that were refused together must not come back together. It repeats what
 * may be said twice, and else gives the refusal as it is; so too if the wait
 * would be longer than `most` seconds. A `signal` bounds all of it. */
export async function fetchPatiently(url, options = {}) {
  const { tries = 4, most = 60, ...others } = options;
  const { random = Math.random, sleep = wait, ...request } = others;
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(url, request);
    const refused = answer.status === 429 || answer.status === 503;
    const again = attempt < tries && mayBeSaidTwice(url, request);
    if (!refused || !again) return answer;
    const spread = 1000 * Math.min(2 ** attempt, 30);
    const told = retryAfterMs(answer.headers.get('Retry-After'));
    const least = told ?? spread / 2;
    if (!(least <= 1000 * most)) return answer;
    await answer.body?.cancel().catch(() => {}); // frees the connection
    const { signal } = request;
    await sleep(least + random() * spread, null, { signal });
  }
}

function mayBeSaidTwice(url, request) {
  // a Request brings them itself
  const { method = url.method ?? 'GET', headers = url.headers } = request;
  const { body = url.body } = request;
  const stream = body?.[Symbol.asyncIterator]; // is gone once it was sent
  const once = new Headers(headers).has('Idempotency-Key');
  return !stream && (SAFE.has(method.toUpperCase()) || once);
}
// --8<-- [end:retry]
