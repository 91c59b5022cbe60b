// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { randomUUID } from 'node:crypto';
import { createJobs } from '../../../snippets/rest-apis/jobs.mjs';
import { createStore } from '../../../snippets/rest-apis/store.mjs';
import {
  JSON_TYPE,
  afterwards,
  ann,
  asked,
  behind,
  get,
  json,
  place,
} from '../../guide/company/helpers.mjs';

export const recipes = {
  'rest-apis/jobs.mjs#createJobs': {
    deps: () => ({ work: async () => 'done', mostMs: 500 }),
    use: async ({ add, find }) => {
      const { id } = add('ann', randomUUID(), {});
      return typeof find('ann', id).state;
    },
    numbers: { atOnce: 2, most: 10, mostMs: 500, keepMs: 500 },
  },
  'rest-apis/jobs.mjs#jobsRouter': {
    deps: () => ({
      jobs: createJobs({ work: async () => 'done' }),
      ownerOf: async () => 'ann',
      inputOf: async () => ({}),
    }),
    always: ['jobs'], // ours, and synchronous
    make: (jobsRouter, deps) => behind([jobsRouter(deps)]),
    requests: [get('/unknown', 404)],
  },
  'rest-apis/webhook.mjs#webhook': {
    deps: () => ({ enqueue: async () => {}, mostMs: 500 }),
    make: (webhook, deps) =>
      behind([webhook({ secrets: [Buffer.from('s')], ...deps })]),
    requests: [{ method: 'POST', path: '/', status: 401 }],
    numbers: { toleranceMs: 1000, mostMs: 500 },
  },
  'rest-apis/retired.mjs#retired': {
    deps: () => ({ count: async () => {} }),
    make: (retired, deps) =>
      behind([
        retired({
          since: new Date('2026-01-01'),
          sunset: new Date('2999-01-01'),
          link: 'https://shop.test/v2',
          ...deps,
        }),
      ]),
    requests: [get('/', 204)],
  },
  'rest-apis/auth.mjs#identify': {
    deps: () => ({ authenticate: ann }),
    make: (identify, { authenticate }) => behind(identify(authenticate)),
    requests: [get('/', 204, asked)],
  },
  'rest-apis/cors.mjs#crossOrigin': {
    make: (crossOrigin) => behind(crossOrigin(['https://shop.test'])),
    requests: [get('/', 204, { headers: { Origin: 'https://shop.test' } })],
  },
  'rest-apis/frameworks.mjs#createApp': {
    requests: [get('/orders/ord_1', 200)],
  },
  'rest-apis/orders.mjs#createApp': {
    deps: () => ({
      authenticate: ann,
      store: createStore(),
      priceOf: async () => new Map([['tea', 799]]),
    }),
    requests: [
      get('/orders', 200, asked),
      get('/orders/ord_none', 404, asked),
      {
        ...json('/orders', place, 201, asked),
        headers: () => ({ ...JSON_TYPE, 'Idempotency-Key': randomUUID() }),
      },
      get('/health', 200),
      get('/ready', 200),
    ],
    numbers: { requestMs: 5000 },
  },
  'rest-apis/outbound.mjs#createCall': {
    deps: () => ({
      fetch: async () => new Response('ok'),
      timeoutMs: 200,
      tries: 2,
    }),
    use: async (call) => (await call('http://prices.test/')).status,
    numbers: { timeoutMs: 100, tries: 2, reserve: 1 },
  },
  'rest-apis/prices.mjs#pricesFrom': {
    deps: () => ({ call: async () => Response.json({ tea: 799 }) }),
    make: (pricesFrom, { call }) => pricesFrom('http://prices.test/', call),
    use: async (priceOf) => (await priceOf(['tea'])).get('tea'),
  },
  'rest-apis/problem.mjs#problems': {
    make: (problems, deps) => afterwards(problems(deps)),
    requests: [
      get('/', 204),
      get('/fails', 500),
      get('/fails-with-nothing', 500),
    ],
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    rest-apis/auth.mjs#bearer
    rest-apis/csv.mjs#csvField
    rest-apis/idempotency.mjs#onceOf
    rest-apis/order.mjs#parseOrder
    rest-apis/patch.mjs#mergePatch
    rest-apis/prices.mjs#pricesIn
    rest-apis/problem.mjs#invalid
    rest-apis/problem.mjs#methods
    rest-apis/problem.mjs#notFound
    rest-apis/query.mjs#cursor
    rest-apis/query.mjs#listQuery
    rest-apis/store.mjs#order
    rest-apis/version.mjs#etag
    rest-apis/version.mjs#mustMatch
  `,
  'is played as a part of the app that is made of it': `
    rest-apis/probes.mjs#probes
    rest-apis/router.mjs#ordersRouter
    rest-apis/store.mjs#createStore
  `,
};
