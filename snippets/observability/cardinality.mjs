// node observability/cardinality.mjs [VALUES]: what a label costs at each scrape
// output: varies — it measures time
import { setImmediate as turn } from 'node:timers/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
// --8<-- [start:cardinality]
import { Histogram, Registry } from 'prom-client';

const register = new Registry();
const duration = new Histogram({
  name: 'http_request_duration_seconds',
  help: 'Duration of a request.',
  labelNames: ['customer'],
  registers: [register],
});

const values = Number(process.argv[2] ?? 1000);
for (let i = 0; i < values; i += 1) {
  duration.observe({ customer: `cus_${i}` }, 0.1);
}
// --8<-- [end:cardinality]

const delay = monitorEventLoopDelay({ resolution: 1 });
await turn();
delay.enable();
await new Promise((resolve) => setTimeout(resolve, 20));
delay.reset();
const begun = performance.now();
const text = await register.metrics();
const ms = performance.now() - begun;
await new Promise((resolve) => setTimeout(resolve, 20));
delay.disable();
const series = text.split('\n').filter((line) => /^[^#]/.test(line)).length;
const stats = {
  values,
  series,
  bytes: text.length,
  ms,
  blocked: delay.max / 1e6,
};
console.log(JSON.stringify(stats));
