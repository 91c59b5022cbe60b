// When a thousand clients come back that were refused in the same moment.
// --8<-- [start:waves]
import { createRetry } from './retry.mjs';

/** How many come in each 100 ms, on a clock that is played. */
async function arrivals(random) {
  const bins = new Array(30).fill(0);
  const client = async () => {
    let at = 0;
    const sleep = async (ms) => {
      at += ms;
      bins[Math.floor(at / 100)] += 1;
    };
    const limits = { tries: 3, baseMs: 1000, mostMs: 2000 };
    const retry = createRetry({ ...limits, sleep, random });
    const refused = Object.assign(new Error('busy'), { mayPass: true });
    const ask = async () => Promise.reject(refused);
    await retry(ask, { idempotent: true }).catch(() => {});
  };
  for (let i = 0; i < 1000; i += 1) await client();
  return bins;
}

let seed = 1; // the same numbers each time, so that the output can be kept
const seeded = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
console.log(`no jitter: ${(await arrivals(() => 0.999)).join(' ')}`);
console.log(`full jitter: ${(await arrivals(seeded)).join(' ')}`);
// --8<-- [end:waves]
