// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { createMetrics } from '../../../snippets/observability/metrics.mjs';
import { createPino } from '../../../snippets/observability/loggers.mjs';
import {
  afterwards,
  behind,
  get,
  json,
  place,
} from '../../guide/company/helpers.mjs';

const silent = createPino({ destination: { write() {} } });

export const recipes = {
  'observability/app.mjs#createApp': {
    deps: () => ({
      logger: silent,
      orders: {
        get: async () => ({ id: 'ord_1' }),
        insert: async () => ({ id: 'ord_1' }),
      },
    }),
    requests: [get('/orders/ord_1', 200), json('/orders', place, 201)],
  },
  'observability/context.mjs#tracing': {
    make: (tracing) => behind(tracing({ inside: true })),
    requests: [get('/', 204)],
  },
  'observability/health.mjs#createHealth': {
    deps: () => ({
      check: async () => true,
      logger: silent,
      timeoutMs: 300,
      freshMs: 1,
    }),
    make: (createHealth, { check, ...deps }) =>
      behind(createHealth({ ...deps, checks: { check } })),
    requests: [get('/livez', 200), get('/readyz', 200, { asks: 'check' })],
    numbers: { timeoutMs: 300, freshMs: 1 },
  },
  'observability/metered.mjs#createApp': {
    deps: () => ({
      orders: { get: async () => ({ id: 'ord_1' }) },
      metrics: createMetrics(),
    }),
    always: ['metrics'], // it is ours, and has a recipe of its own
    requests: [get('/orders/ord_1', 200), get('/livez', 200)],
  },
  'observability/metrics.mjs#createMetrics': {
    make: (createMetrics, deps) => behind(createMetrics(deps).measure),
    requests: [get('/', 204)],
    numbers: { capacity: 100 },
  },
  'observability/request-log.mjs#requestLog': {
    make: (requestLog) => behind(requestLog({ logger: silent })),
    requests: [get('/', 204)],
  },
  'observability/request-log.mjs#problems': {
    make: (problems) => afterwards(problems({ logger: silent })),
    requests: [
      get('/', 204),
      get('/fails', 500),
      get('/fails-with-nothing', 500),
    ],
  },
  'observability/signin.mjs#createApp': {
    deps: () => ({ logger: silent }),
    requests: [
      json('/signin', { user: 'ann' }, 401),
      get('/search?q=x', 200),
    ],
  },
  'observability/orders.mjs#createOrders': {
    use: async (orders) => (await orders.insert({ items: [] })).status,
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    observability/context.mjs#inLogs
    observability/context.mjs#outgoing
    observability/context.mjs#parse
    observability/loggers.mjs#errorInLogs
    observability/loggers.mjs#orderInLogs
    observability/quantile.mjs#estimate
    observability/quantile.mjs#exact
    observability/quantile.mjs#latencies
    observability/route.mjs#routeOf
    observability/route.mjs#statusOf
  `,
  "is a process's own, and the tests of this topic end that process in every way": `
    observability/flush.mjs#endOn
    observability/flush.mjs#flushWinston
    observability/loggers.mjs#createPino
    observability/loggers.mjs#createWinston
    observability/stdout.mjs#createOutput
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    observability/durable.mjs#durable
    observability/stall.mjs#createApp
  `,
};
