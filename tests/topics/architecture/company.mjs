// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { memoryStore as ordersInMemory } from '../../../snippets/architecture/layered/memory.mjs';
import { SCHEMA } from '../../../snippets/architecture/schema.mjs';
import {
  afterwards,
  ann,
  asked,
  behind,
  get,
  json,
  place,
} from '../../guide/company/helpers.mjs';

// what all three architectures answer alike
const threeVersions = {
  deps: () => ({ authenticate: ann }),
  requests: [
    json('/orders', place, 201, asked),
    json('/orders', {}, 422, asked),
    get('/orders/ord_none', 404, asked),
  ],
};

const shopDatabase = () => {
  const db = new DatabaseSync(':memory:');
  db.exec(SCHEMA);
  return db;
};

export const recipes = {
  'architecture/cache.mjs#createCache': {
    deps: () => ({ load: async () => 'tea', ttlMs: 0, mostMs: 100 }),
    use: async ({ get }) => get('a').catch(() => 'no tea'),
    deadline: 1000,
    numbers: { ttlMs: 0, staleMs: 0, most: 10, mostMs: 100 },
  },
  'architecture/customers.mjs#createApp': {
    requests: [
      json(
        '/customers',
        () =>
          JSON.stringify({ email: `${randomUUID()}@shop.test`, name: 'Ann' }),
        201,
      ),
      json('/customers', {}, 422),
    ],
  },
  'architecture/edge.mjs#identify': {
    deps: () => ({ authenticate: ann }),
    make: (identify, { authenticate }) => behind(identify(authenticate)),
    requests: [get('/', 204, asked)],
  },
  'architecture/edge.mjs#problems': {
    make: (problems, deps) => afterwards(problems(deps)),
    requests: [
      get('/', 204),
      get('/fails', 500),
      get('/fails-with-nothing', 500),
    ],
  },
  'architecture/layered/app.mjs#createApp': {
    ...threeVersions,
    deps: () => ({ authenticate: ann, store: ordersInMemory() }),
  },
  'architecture/layered/http.mjs#httpApp': {
    deps: () => ({
      authenticate: ann,
      orders: {
        place: async () => ({ id: 'ord_1' }),
        get: async () => ({ id: 'ord_1' }),
      },
    }),
    requests: [
      json('/orders', place, 201, asked),
      get('/orders/ord_1', 200, asked),
    ],
  },
  'architecture/mvc/app.mjs#createApp': threeVersions,
  'architecture/onefile/app.mjs#createApp': threeVersions,
  'architecture/onefile/app.cli.mjs#createApp': threeVersions,

  'architecture/outbox.mjs#place': {
    make: (place) => (order) => place({ db: shopDatabase() }, order),
    use: (run) => run({ id: 'ord_1', customer: 'ann', items: [], total: 0 }),
  },
  'architecture/outbox.mjs#keepRelaying': {
    deps: () => ({
      db: shopDatabase(),
      publish: async () => {},
      patience: 100,
    }),
    make:
      (keepRelaying, { signal, ...deps }) =>
      () => {
        const controller = new AbortController();
        setTimeout(() => controller.abort(), 50);
        deps.db.exec(`INSERT OR IGNORE INTO outbox VALUES ('ord_1', '{}')`);
        return keepRelaying({ ...deps, signal: controller.signal });
      },
    use: async (run) => {
      await run();
      return 'aborted';
    },
    deadline: true,
  },
  'architecture/outbox.mjs#relay': {
    deps: () => ({ db: shopDatabase(), publish: async () => {} }),
    make:
      (relay, { db, publish }) =>
      () => {
        db.exec(`INSERT OR IGNORE INTO outbox VALUES ('ord_1', '{}')`);
        return relay({ db, publish });
      },
    use: async (run) => {
      await run();
      return 'relayed';
    },
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    architecture/edge.mjs#parseOrder
    architecture/layered/domain.mjs#cancel
    architecture/layered/domain.mjs#newOrder
    architecture/layered/domain.mjs#pay
    architecture/mvc/view.mjs#orderView
  `,
  'is played as a part of the app that is made of it': `
    architecture/atomically.mjs#atomically
    architecture/atomically.mjs#rollback
    architecture/layered/application.mjs#createOrders
    architecture/layered/cli.mjs#commands
    architecture/layered/memory.mjs#memoryStore
    architecture/layered/sqlite.mjs#sqliteStore
    architecture/mvc/cli.mjs#commands
    architecture/mvc/controller.mjs#ordersController
    architecture/mvc/models.mjs#createModels
    architecture/onefile/app.cli.mjs#openShop
    architecture/onefile/cli.mjs#commands
    architecture/turns.mjs#inTurn
    architecture/turns.mjs#within
  `,
  'needs PostgreSQL, which tests/topics/architecture/ takes away from it': `
    architecture/database.mjs#openDatabase
    architecture/layered/app.postgres.mjs#createApp
    architecture/layered/postgres.mjs#postgresStore
    architecture/mvc/models.postgres.mjs#createModels
    architecture/onefile/app.postgres.mjs#createApp
    architecture/pool.mjs#openPool
    architecture/transaction.mjs#transaction
  `,
};
