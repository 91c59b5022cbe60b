// --8<-- [start:retry]
import { setTimeout as wait } from 'node:timers/promises';

/** fetch that does as a 429 or 503 tells it, and spreads the return: clients
 * that were refused together must not come back together. */
export async function fetchPatiently(url, options = {}) {
  const { tries = 4, random = Math.random, sleep = wait, ...rest } = options;
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(url, rest);
    const refused = answer.status === 429 || answer.status === 503;
    if (!refused || attempt === tries) return answer;
    await answer.body?.cancel(); // gives the connection back
    const told = Number(answer.headers.get('retry-after')); // NaN for a date
    const seconds = Number.isFinite(told) ? Math.min(told, 3600) : 1;
    const ms = 1000 * (seconds + random() * 2 ** attempt);
    await sleep(ms, null, { signal: rest.signal });
  }
}
// --8<-- [end:retry]
