// What reaches a dependency that is down for six of ten seconds, by policy.
// --8<-- [start:outage]
import { createBreaker } from './breaker.mjs';
import { createRetry } from './retry.mjs';
import { createRetry as naively } from './retry.naive.mjs';

// a clock that is played: a call every 10 ms, down from second 2 to 8
async function reached(policy) {
  let [now, asked] = [0, 0];
  const task = async () => {
    if (now < 2000 || now >= 8000) return;
    asked += 1;
    throw Object.assign(new Error('down'), { mayPass: true });
  };
  const options = { now: () => now, sleep: async () => {}, openMs: 1000 };
  const send = policy(options);
  for (; now < 10_000; now += 10) await send(task).catch(() => {});
  return asked;
}

const again = { idempotent: true };
const policies = {
  'no retry': () => (task) => task(),
  'three tries': () => naively({ tries: 3 }),
  'three tries, budget': (options) => {
    const retry = createRetry(options);
    return (task) => retry(task, again);
  },
  breaker: (options) => createBreaker(options).run,
  'breaker and budget': (options) => {
    const [retry, { run }] = [createRetry(options), createBreaker(options)];
    return (task) => retry(() => run(task), again);
  },
};
for (const [name, policy] of Object.entries(policies))
  console.log(`${name}: ${await reached(policy)}`);
// --8<-- [end:outage]
