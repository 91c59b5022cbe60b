// node observability/quantiles.mjs: histograms of latencies that we know
import { pathToFileURL } from 'node:url';

export const DEFAULT = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];
export const TUNED = [
  0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 1, 2.5,
];

// --8<-- [start:quantile]
/** As Prometheus does it: values are taken to lie evenly in a bucket. */
export function estimate(seconds, buckets, q) {
  const rank = q * seconds.length;
  let below = 0;
  let lower = 0;
  for (const upper of buckets) {
    const within = seconds.filter((s) => s > lower && s <= upper).length;
    if (below + within >= rank) {
      return lower + ((upper - lower) * (rank - below)) / within;
    }
    below += within;
    lower = upper;
  }
  return lower; // beyond the last bucket: nothing is known
}

export function exact(seconds, q) {
  const sorted = seconds.toSorted((a, b) => a - b);
  return sorted[Math.ceil(q * sorted.length) - 1];
}
// --8<-- [end:quantile]

/** Latencies of one instance: log-normal, the same every time. */
export function latencies(count, median, seed) {
  const random = generator(seed);
  return Array.from({ length: count }, () => {
    const r = Math.sqrt(-2 * Math.log(1 - random()));
    return median * Math.exp(0.5 * r * Math.cos(2 * Math.PI * random()));
  });
}

function generator(seed) {
  let state = seed; // mulberry32
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ms = (s) => `${(1000 * s).toFixed(0)} ms`;
const mean = (list) => list.reduce((sum, s) => sum + s, 0) / list.length;
if (import.meta.url === pathToFileURL(process.argv[1]).href) {
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
  console.log(
    `average of p99s: ${ms(mean(fleet.map((s) => exact(s, 0.99))))}`,
  );
  console.log(`p99 of the fleet: ${ms(exact(all, 0.99))}`);
  // --8<-- [end:fleet]
}
