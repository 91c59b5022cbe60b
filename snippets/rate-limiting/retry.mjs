// --8<-- [start:retry]
import { setTimeout as wait } from 'node:timers/promises';

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
    const spread = Math.min(2 ** attempt, 30);
    const seconds = told(answer.headers.get('Retry-After')) ?? spread / 2;
    if (!(seconds <= most)) return answer;
    await answer.body?.cancel().catch(() => {}); // frees the connection
    const ms = 1000 * (seconds + random() * spread);
    await sleep(ms, null, { signal: request.signal });
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

/** Seconds: Retry-After has a number of them, or a date; null for neither. */
function told(text) {
  if (/^\d+$/.test(text)) return Number(text);
  const at = /GMT$/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(at) ? null : Math.max(0, (at - Date.now()) / 1000);
}
// --8<-- [end:retry]
