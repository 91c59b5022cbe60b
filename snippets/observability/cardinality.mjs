// node observability/cardinality.mjs [VALUES]: what a label costs a scrape
// output: varies — it measures time
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

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
await pause(50);
const cpu = process.cpuUsage();
const text = await register.metrics();
const { user, system } = process.cpuUsage(cpu);
await pause(50);
delay.disable();
const stats = {
  values,
  series: text.split('\n').filter((line) => /^[^#]/.test(line)).length,
  bytes: text.length,
  cpuMs: (user + system) / 1000,
  blockedMs: delay.max / 1e6,
};
console.log(JSON.stringify(stats));
