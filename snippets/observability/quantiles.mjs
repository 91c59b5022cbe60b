// node observability/quantiles.mjs: histograms of latencies that we know
import { DEFAULT, estimate, exact, latencies, TUNED } from './quantile.mjs';

const ms = (s) => `${(1000 * s).toFixed(0)} ms`;
const mean = (list) => list.reduce((sum, s) => sum + s, 0) / list.length;
const one = latencies(10_000, 0.09, 1);
console.log(`p99: ${ms(exact(one, 0.99))}`);
console.log(`default buckets: ${ms(estimate(one, DEFAULT, 0.99))}`);
console.log(
  `buckets around the objective: ${ms(estimate(one, TUNED, 0.99))}`,
);
// --8<-- [start:fleet]
// three quick instances with most of the traffic, one slow one with a tenth
const fleet = [
  latencies(3000, 0.05, 2),
  latencies(3000, 0.05, 3),
  latencies(3000, 0.05, 4),
  latencies(1000, 0.8, 5),
];
const all = fleet.flat();
console.log(`fleet's average: ${ms(mean(all))}`);
console.log(`average of p99s: ${ms(mean(fleet.map((s) => exact(s, 0.99))))}`);
console.log(`p99 of the fleet: ${ms(exact(all, 0.99))}`);
// --8<-- [end:fleet]
