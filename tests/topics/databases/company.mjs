// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs. The database is played: it has an answer for
// each statement. PostgreSQL itself is taken away in this topic's tests.
import { databaseErrors } from '../../../snippets/databases/errors.mjs';
import {
  afterwards,
  ann,
  asked,
  express,
  get,
  json,
  place,
} from '../../guide/company/helpers.mjs';

const ANSWERS = [
  [/^COMMIT/, { command: 'COMMIT' }],
  [/^UPDATE products/, { rowCount: 1, rows: [{ price_cents: 450 }] }],
  [/^INSERT INTO answers/, { rowCount: 1 }],
  [
    /FROM accounts/,
    {
      rows: [
        { id: 'ann', cents: 10 },
        { id: 'bob', cents: 0 },
      ],
    },
  ],
  [/FROM jobs/, { rows: [{ id: 1, body: {}, tries: 0 }] }],
  [/FROM outbox\s+ORDER/, { rows: [{ id: 1, event: {} }] }],
  [/pg_last_wal/, { rows: [{ there: true }] }],
];

/** As createPool gives it. With `turns`, every second FETCH has a row: what has
 * begun to be sent is cut off when the database fails, as it must be. */
const database = ({ turns = false } = {}) => {
  let fetched = 0;
  const query = async (given) => {
    const text = given.text ?? given;
    if (turns && text.startsWith('FETCH')) {
      fetched += 1;
      return { rows: fetched % 2 ? [{ id: 'ord_1' }] : [] };
    }
    const [, answer] = ANSWERS.find(([start]) => start.test(text)) ?? [];
    return { rows: [], rowCount: 0, ...answer };
  };
  return { query, use: async (work) => work({ query }) };
};

const done = (gives) => async (run) => {
  await run();
  return gives;
};

export const recipes = {
  'databases/batches.mjs#inBatches': {
    deps: () => ({ work: async () => 'ok' }),
    make:
      (inBatches, { work, signal }) =>
      async () =>
        (await inBatches([1, 2, 3], work, { atOnce: 2, signal })).join(),
    use: (run) => run(),
  },
  'databases/errors.mjs#databaseErrors': {
    make: (errors, deps) => afterwards(errors(deps)),
    requests: [
      get('/', 204),
      get('/fails', 500),
      get('/fails-with-nothing', 500),
    ],
  },
  'databases/export.mjs#createEach': {
    deps: () => ({
      db: database({ turns: true }),
      take: async () => {},
      batch: 2,
    }),
    make: (createEach, { take, signal, ...deps }) => {
      const each = createEach(deps);
      return () => each('SELECT 1', [], take, { signal });
    },
    use: (run) => run(),
    numbers: { batch: 2 },
  },
  'databases/export.mjs#createExport': {
    deps: () => ({ db: database(), batch: 2 }),
    make: (createExport, deps) => {
      const send = createExport(deps);
      const app = express();
      app.get('/', (req, res) => send(res, 'SELECT 1', []));
      return app.use(databaseErrors(deps));
    },
    requests: [get('/', 200)],
    numbers: { batch: 2 },
  },
  'databases/list.mjs#createList': {
    deps: () => ({ db: database() }),
    use: async (list) => (await list({ customer: 'ann' })).items.length,
  },
  'databases/loader.mjs#createLoader': {
    deps: () => ({
      load: async (keys) => new Map(keys.map((key) => [key, 'tea'])),
      most: 2,
      keys: 1,
      mostMs: 100,
    }),
    use: async (load) => (await Promise.all([load(1), load(2)])).join(),
    deadline: true,
    numbers: { most: 2, keys: 1, mostMs: 100 },
  },
  'databases/once.mjs#createOnce': {
    deps: () => ({ db: database(), work: async () => 'ok', tries: 2 }),
    make: (createOnce, { work, signal, ...deps }) => {
      const once = createOnce(deps);
      return () => once({ customer: 'ann', key: 'k1' }, work, { signal });
    },
    use: (run) => run(),
    numbers: { tries: 2 },
  },
  'databases/outbox.mjs#createOutbox': {
    deps: () => ({
      db: database(),
      publish: async () => {},
      most: 2,
      mostMs: 100,
    }),
    always: ['db'], // its deadlines are the pool's
    use: async ({ relay }) => ((await relay()).failed ? 'failed' : 'ok'),
    deadline: true,
    numbers: { most: 2, mostMs: 100 },
  },
  'databases/queue.mjs#createQueue': {
    deps: () => ({
      db: database(),
      handle: async () => {},
      mostMs: 100,
      againMs: 10,
      pauseMs: 10,
      tries: 2,
    }),
    always: ['db'], // its deadlines are the pool's
    use: ({ one }) => one(),
    deadline: true,
    numbers: { mostMs: 100, againMs: 10, pauseMs: 10, tries: 2 },
  },
  'databases/ready.mjs#createReady': {
    deps: () => ({ db: database(), mostMs: 100 }),
    make: (createReady, deps) => express().use(createReady(deps)),
    requests: [get('/live', 200), get('/ready', 200)],
    deadline: true,
    numbers: { mostMs: 100 },
  },
  'databases/replicas.mjs#createReads': {
    deps: () => ({
      primary: database(),
      replica: database(),
      waitMs: 100,
      pauseMs: 10,
    }),
    use: async ({ read }) => (await read('0/1', 'SELECT 1')).rows.length,
    numbers: { waitMs: 100, pauseMs: 10 },
  },
  'databases/shop.mjs#createApp': {
    deps: () => ({ db: database(), authenticate: ann }),
    requests: [
      json('/orders', place, 201, {
        ...asked,
        headers: { 'Idempotency-Key': 'k1' },
      }),
      get('/orders', 200, asked),
      get('/orders.ndjson', 200, asked),
      get('/ready', 200),
    ],
  },
  'databases/stock.mjs#createStock': {
    deps: () => ({ db: database(), retried: () => {}, tries: 2 }),
    make: (createStock, deps) => createStock(deps),
    use: async ({ take }) => done('sold')(() => take('tea', 1)),
    numbers: { tries: 2 },
  },
  'databases/tenant.mjs#createTenants': {
    deps: () => ({ db: database(), work: async () => 'ok' }),
    make: (createTenants, { db, work, signal }) => {
      const asTenant = createTenants({ db });
      return () => asTenant('ann', work, { signal });
    },
    use: (run) => run(),
  },
  'databases/transaction.mjs#transaction': {
    deps: () => ({
      db: database(),
      work: async () => 'ok',
      retried: async () => {},
    }),
    make:
      (transaction, { db, work, ...options }) =>
      () =>
        transaction(db, work, options),
    use: (run) => run(),
  },
  'databases/transfer.mjs#createTransfer': {
    deps: () => ({ db: database(), retried: () => {}, tries: 2 }),
    use: (transfer) =>
      done('paid')(() => transfer({ from: 'ann', to: 'bob', cents: 1 })),
    numbers: { tries: 2 },
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    databases/errors.mjs#isLost
    databases/errors.mjs#statusOf
  `,
  'is played as a part of what is made of it': `
    databases/end.mjs#withEnd
  `,
  'needs PostgreSQL, which tests/topics/databases/ takes away from it': `
    databases/migrate.mjs#migrate
    databases/pool.mjs#createPool
  `,
};
