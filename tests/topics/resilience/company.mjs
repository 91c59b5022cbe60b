// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { afterwards, behind, get } from '../../guide/company/helpers.mjs';

export const recipes = {
  'resilience/breaker.mjs#createBreaker': {
    deps: () => ({
      task: async () => 'ok',
      isFailure: async ({ threw }) => threw,
      changed: () => {},
      timeoutMs: 200,
      openMs: 50,
      calls: 1,
    }),
    make: (createBreaker, { task, signal, ...deps }) => {
      const { run } = createBreaker(deps);
      return () => run(task, { signal });
    },
    use: (run) => run(),
    deadline: true,
    numbers: { timeoutMs: 200, openMs: 50, calls: 1, share: 0.5 },
  },
  'resilience/bulkhead.mjs#createBulkhead': {
    deps: () => ({ task: async () => 'ok', atOnce: 1, mostMs: 200 }),
    make: (createBulkhead, { task, signal, ...deps }) => {
      const { enter } = createBulkhead(deps);
      return () => enter(task, { signal });
    },
    use: (run) => run(),
    deadline: true,
    numbers: { atOnce: 1, waiting: 0, patienceMs: 100, mostMs: 200 },
  },
  'resilience/bulkhead.mjs#createShedding': {
    deps: () => ({ atOnce: 1, waiting: 5 }),
    make: (createShedding, deps) => behind(createShedding(deps)),
    requests: [get('/', 204)],
    numbers: { atOnce: 1, waiting: 5, patienceMs: 100 },
  },
  'resilience/call.mjs#createCall': {
    deps: () => ({
      fetch: async () => new Response('ok'),
      timeoutMs: 100,
      totalMs: 200,
      openMs: 50,
      calls: 1,
      baseMs: 1,
    }),
    use: async ({ call }) => (await call('http://prices.test/')).text,
    deadline: true,
    numbers: { timeoutMs: 100, totalMs: 200, mostBytes: 10, tries: 2 },
  },
  'resilience/deadline.mjs#deadline': {
    deps: () => ({ task: async () => 'ok' }),
    make:
      (deadline, { task, signal }) =>
      async () => {
        const time = deadline(200, { signal });
        return time.run(task).finally(() => time.end());
      },
    use: (run) => run(),
    deadline: true,
  },
  'resilience/deadline.mjs#requestDeadline': {
    deps: () => ({ ms: 5000 }),
    make: (requestDeadline, deps) => behind(requestDeadline(deps)),
    requests: [get('/', 204, { headers: { 'X-Request-Timeout-Ms': '900' } })],
    numbers: { ms: 5000 },
  },
  'resilience/errors.mjs#errorHandler': {
    make: (errorHandler, deps) => afterwards(errorHandler(deps)),
    requests: [
      get('/', 204),
      get('/fails', 500),
      get('/fails-with-nothing', 500),
    ],
  },
  'resilience/errors.mjs#guarded': {
    deps: () => ({ callback: async () => 'ok' }),
    make:
      (guarded, { callback }) =>
      async () => {
        const failed = [];
        await guarded((error) => failed.push(error), callback)();
        return failed.length;
      },
    use: (run) => run(),
  },
  'resilience/product.mjs#createApp': {
    deps: () => ({
      fetch: async () => new Response('{"cents":900}'),
      prices: 'http://prices.test',
      reviews: 'http://reviews.test',
      timeoutMs: 100,
      openMs: 50,
      calls: 1,
      ms: 500,
    }),
    requests: [get('/products/tea', 200), get('/health', 200)],
    deadline: true,
  },
  'resilience/quotes.mjs#createApp': {
    deps: () => ({ work: async () => {} }),
    requests: [get('/quote', 200)],
  },
  'resilience/retry.mjs#createRetry': {
    deps: () => ({
      task: async () => 'ok',
      sleep: async () => {},
      mayPass: async () => true,
      tries: 2,
    }),
    make: (createRetry, { task, signal, ...deps }) => {
      const retry = createRetry(deps);
      return () => retry(task, { idempotent: true, signal });
    },
    use: (run) => run(),
    numbers: { tries: 2, reserve: 1, baseMs: 1, mostMs: 10 },
  },
  'resilience/stale.mjs#createStale': {
    deps: () => ({ load: async () => 'ok', staleMs: 1000 }),
    make: (createStale, deps) => createStale(deps),
    use: async (get) => (await get('tea')).value,
    numbers: { staleMs: 1000, keys: 10 },
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    resilience/deadline.mjs#deadlineHeader
    resilience/retry.mjs#retryAfterMs
  `,
  "is a process's own, and the tests of this topic end that process in every way": `
    resilience/shutdown.mjs#createShutdown
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    resilience/leaving.mjs#countFailures
    resilience/work.mjs#createWork
  `,
};
