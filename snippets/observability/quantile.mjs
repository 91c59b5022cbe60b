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
