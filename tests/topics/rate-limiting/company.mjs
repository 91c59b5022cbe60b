// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { randomUUID } from 'node:crypto';
import {
  behind,
  get,
  json,
  redisInMemory,
} from '../../guide/company/helpers.mjs';

const limiter = {
  deps: () => ({ limit: 2, windowMs: 1000 }),
  numbers: { limit: 2, windowMs: 1000 },
};

const threeCalls = async (allow) => {
  const key = randomUUID();
  return [1, 2, 3].map(() => allow(key)).join();
};

export const recipes = {
  'rate-limiting/algorithms.mjs#fixedWindow': { ...limiter, use: threeCalls },
  'rate-limiting/algorithms.mjs#slidingLog': { ...limiter, use: threeCalls },
  'rate-limiting/algorithms.mjs#slidingCounter': {
    ...limiter,
    use: threeCalls,
  },
  'rate-limiting/algorithms.mjs#tokenBucket': { ...limiter, use: threeCalls },
  'rate-limiting/algorithms.mjs#gcra': { ...limiter, use: threeCalls },
  'rate-limiting/api.mjs#createApp': {
    deps: () => ({ limit: 1000, products: { list: async () => [] } }),
    requests: [get('/products', 200), get('/health', 200)],
    numbers: { limit: 100 },
  },
  'rate-limiting/bucket.mjs#createBucket': {
    deps: () => ({ capacity: 2, perSecond: 1000 }),
    use: ({ take }) => take(randomUUID()).allowed,
    numbers: { capacity: 2, perSecond: 1000, most: 10 },
  },
  'rate-limiting/shared-bucket.mjs#createSharedBucket': {
    deps: () => ({
      redis: { eval: async () => [1, 0] },
      capacity: 2,
      perSecond: 1000,
      patienceMs: 100,
    }),
    use: async ({ take }) => (await take(randomUUID())).allowed,
    deadline: 1000,
    numbers: { capacity: 2, perSecond: 1000, processes: 2, patienceMs: 100 },
  },
  'rate-limiting/leases.mjs#createLeases': {
    deps: () => ({
      redis: { eval: async () => [2, 1000] },
      limit: 2,
      windowMs: 1000,
      patienceMs: 100,
    }),
    use: async ({ take }) => typeof (await take(randomUUID())).allowed,
    deadline: 1000,
    numbers: { limit: 2, windowMs: 1000, batch: 2, most: 10, patienceMs: 9 },
  },
  'rate-limiting/shaper.mjs#createShaper': {
    deps: () => ({ perSecond: 1000 }),
    use: (run) => run(async () => 'done'),
    numbers: { perSecond: 1000, waiting: 10, mostMs: 1000 },
  },
  'rate-limiting/slowdown.mjs#createSlowdown': {
    use: ({ attempt }) => attempt(randomUUID()),
    numbers: { free: 3, baseMs: 1000, mostMs: 2000, most: 10 },
  },
  'rate-limiting/limited.mjs#limited': {
    deps: () => ({
      bucket: { take: async () => ({ allowed: true, waitMs: 0 }) },
      keyOf: () => 'ann',
    }),
    make: (limited, deps) => behind([limited(deps)]),
    requests: [get('/', 204)],
  },
  'rate-limiting/counter.mjs#allow': {
    deps: () => ({ redis: redisInMemory() }),
    make:
      (allow, { redis }) =>
      () =>
        allow(redis, 'key', { limit: 5, windowMs: 1000 }),
    use: (allow) => allow(),
  },
  'rate-limiting/failures.mjs#failureLimits': {
    deps: () => ({ store: () => undefined, known: () => null }),
    always: ['store', 'known'], // both are asked at once, and known() is our own
    make: (failureLimits, deps) =>
      behind([
        (req, res, next) =>
          next(
            Object.assign(req, { body: { email: 'a@b.test' } }) && undefined,
          ),
        ...failureLimits(deps),
      ]),
    requests: [get('/', 204)],
  },
  'rate-limiting/login.mjs#createApp': {
    deps: () => ({ check: async () => true }),
    requests: [
      json('/login', { email: 'a@b.test', password: 'x' }, 204, {
        asks: 'check',
      }),
    ],
  },
  'rate-limiting/passwords.mjs#passwordsOf': {
    deps: () => ({ users: new Map(), N: 2 ** 10 }),
    use: (check) => check('ann', 'x'),
    numbers: { N: 1024, atOnce: 2 },
  },
  'rate-limiting/proxy.mjs#createApp': {
    deps: () => ({ limit: 1000 }),
    requests: [get('/', 200)],
    numbers: { limit: 10 },
  },
  'rate-limiting/retry.mjs#fetchPatiently': {
    deps: () => ({ sleep: async () => {}, tries: 2 }),
    make: (fetchPatiently, deps) => () =>
      fetchPatiently('http://127.0.0.1:1/', deps).catch(() => 'refused'),
    use: (run) => run(),
  },
  'rate-limiting/slow.mjs#serverOf': {
    make: (serverOf) => serverOf((req, res) => res.writeHead(204).end()),
    requests: [get('/', 204)],
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    rate-limiting/address.mjs#addressed
    rate-limiting/device.mjs#devicesOf
    rate-limiting/failures.mjs#account
  `,
  'needs Redis, which the tests of this topic take away from it': `
    rate-limiting/connect.mjs#connect
    rate-limiting/outage.mjs#createApp
    rate-limiting/shared.mjs#stores
  `,
};
