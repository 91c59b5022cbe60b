// output: varies — it prints how long the collector stopped the loop
// --8<-- [start:gc]
import { PerformanceObserver } from 'node:perf_hooks';

const pauses = [];
const observer = new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) pauses.push(entry.duration);
});
observer.observe({ entryTypes: ['gc'] });

const kept = new Map(); // a cache without a bound, as they come
for (let i = 0; i < 60; i += 1) {
  for (let j = 0; j < 20_000; j += 1) kept.set(`${i}/${j}`, { at: [i, j] });
  await new Promise(setImmediate);
}
await new Promise((resolve) => setTimeout(resolve, 10));
observer.disconnect();
console.log(`${pauses.length} pauses, longest ${Math.max(...pauses)} ms`);
// --8<-- [end:gc]
