// An attacker opens a window, keeps still, and from its last millisecond on
// asks for all there is. The clock is ours. `series`: each request served.
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import { once } from 'node:events';
import * as algorithms from './algorithms.mjs';

const [limit, windowMs] = [100, 60_000];
let time = 0;
Date.now = () => time; // which is what the library asks

// --8<-- [start:boundary]
/** When requests were served, in ms. */
async function attack(allow) {
  const served = [];
  async function all(at) {
    time = at;
    while (await allow('attacker')) served.push(time);
  }
  if (await allow('attacker')) served.push(0); // opens the window
  for (let t = windowMs - 1; t < 2 * windowMs; t += 200) await all(t);
  return served;
}

/** The most that were served within any `ms`. */
function most(served, ms) {
  const within = (start) => (time) => time >= start && time < start + ms;
  return Math.max(...served.map((t) => served.filter(within(t)).length));
}
// --8<-- [end:boundary]

const app = express();
app.use(rateLimit({ windowMs, limit, legacyHeaders: false }));
app.use((req, res) => res.end());
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
const library = async () =>
  (await fetch(`http://127.0.0.1:${server.address().port}/`)).ok;

const { fixedWindow, slidingLog, slidingCounter, tokenBucket, gcra } =
  algorithms;
const options = { limit, windowMs, now: () => time };
const judged = {
  'express-rate-limit': library,
  'fixed window': fixedWindow(options),
  'sliding log': slidingLog(options),
  'sliding counter': slidingCounter(options),
  'token bucket': tokenBucket(options),
  GCRA: gcra(options),
  'token bucket, burst 10': tokenBucket({ ...options, burst: 10 }),
};
for (const [name, allow] of Object.entries(judged)) {
  time = 0;
  const served = await attack(allow);
  if (process.argv.includes('series')) console.log(`${name},${served}`);
  const [second, window] = [1000, windowMs].map((ms) => most(served, ms));
  console.log(`${name}: ${second} in a second, ${window} in a window`);
}
server.close();
server.closeAllConnections();
