// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { get, json } from '../../guide/company/helpers.mjs';

export const recipes = {
  'event-loop/bounded.mjs#mapBounded': {
    deps: () => ({ task: async (n) => n }),
    make:
      (mapBounded, { task, signal }) =>
      () =>
        mapBounded([1, 2, 3], 2, task, { signal }),
    use: async (run) => (await run()).join(),
  },
  'event-loop/interval.mjs#repeat': {
    deps: () => ({ task: async () => 1, failed: () => {} }),
    make:
      (repeat, { task, failed, signal }) =>
      async () => {
        const both = AbortSignal.any([AbortSignal.timeout(20), signal]);
        await repeat(task, 1, { signal: both, failed });
      },
    use: async (run) => run(),
  },
  'event-loop/login.mjs#createApp': {
    deps: () => ({ N: 2 ** 10 }),
    requests: [
      json('/login', { email: 'ann@shop.test', password: 'x' }, 401),
      get('/health', 200),
    ],
  },
  'event-loop/report.mjs#createApp': {
    requests: [get('/health', 200), get('/report', 200)],
  },
  'event-loop/search.mjs#createApp': {
    deps: () => ({ find: async () => [] }),
    requests: [get('/search?q=tea', 200), get('/health', 200)],
  },
  'event-loop/watch.mjs#watchLoop': {
    use: async (read) => Object.keys(read()).join(),
    numbers: { resolution: 10 },
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    event-loop/name-server.mjs#answer
    event-loop/report.worker.mjs#simulate
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    event-loop/stuck-pool.mjs#stick
  `,
};
