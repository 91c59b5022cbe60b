// node resilience/metastable.mjs SECONDS: a server that could serve a hundred
// requests a second is offered seventy, and stands still for a tenth of it.
// output: varies — it measures how many answers come in time
// --8<-- [start:server]
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request at a time, 10 ms each, in the order in which they came. */
async function serve(name, skips) {
  const queue = [];
  const take = (req, res) => queue.push({ res, came: performance.now() });
  const server = createServer(take);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const state = { paused: false, resumed: 0, over: false };
  (async () => {
    let free = 0; // when the last request was done, on a clock without delay:
    while (!state.over) {
      const next = state.paused ? undefined : queue.shift();
      if (skips && next?.res.destroyed) continue; // its client has gone
      // so a timer that fires late does not make the server a slower one
      if (next) free = Math.max(free, next.came, state.resumed) + 10;
      await sleep(next ? Math.max(0, free - performance.now()) : 2);
      next?.res.end('ok');
    }
  })();
  const close = () => {
    state.over = true;
    server.close();
    server.closeAllConnections();
  };
  const url = `http://127.0.0.1:${server.address().port}`;
  return { name, url, state, close };
}
// --8<-- [end:server]

// --8<-- [start:clients]
/** Answers in time, for each half second, while 70 a second are sent. */
async function offer({ url, state }, { tries, budget }, seconds) {
  const bins = new Array(seconds * 2).fill(0);
  const begin = performance.now();
  let tenths = 100;
  const once = () => fetch(url, { signal: AbortSignal.timeout(250) });
  async function ask() {
    const bin = Math.floor((performance.now() - begin) / 500);
    tenths = Math.min(tenths + 1, 100);
    for (let attempt = 1; attempt <= tries; attempt += 1) {
      try {
        await (await once()).text();
        if (bin < bins.length) bins[bin] += 1;
        return;
      } catch {
        if (budget && tenths < 10) return;
        tenths -= 10;
      }
    }
  }
  const asked = [];
  for (let n = 0; n < seconds * 70; n += 1) {
    await sleep(Math.max(0, begin + (n * 1000) / 70 - performance.now()));
    state.paused = n >= seconds * 14 && n < seconds * 21;
    if (state.paused) state.resumed = performance.now();
    asked.push(ask());
  }
  await Promise.all(asked);
  return bins;
}

// --8<-- [end:clients]

// --8<-- [start:policies]
const seconds = Number(process.argv[2] ?? 3);
const policies = {
  'three tries': { tries: 3 },
  'three tries, budget': { tries: 3, budget: true },
  'three tries, server skips who has gone': { tries: 3, skips: true },
};
const runs = Object.entries(policies).map(async ([name, policy]) => {
  const server = await serve(name, policy.skips);
  const bins = await offer(server, policy, seconds);
  server.close();
  return [name, bins];
});
console.log(JSON.stringify(Object.fromEntries(await Promise.all(runs))));
// --8<-- [end:policies]
