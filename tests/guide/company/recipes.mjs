// How each exported factory of the snippets is used politely; world.mjs plays the rest.
//
// deps()      what it is given besides `signal` and `logger`, new each time; whatever is a
//             function, or has methods, will throw, reject and never settle
// always      names of deps that are not asked to fail, each with its reason beside it
// make(f, d)  how it is made, if not by f(d); serve(thing) what listens, if not itself
// requests    the polite requests and the statuses they get; `asks` names the dependency
//             that says who may: while it fails, the answer must not be a yes
// use(thing)  what else is done with it, and what that gives
// deadline    what its dependencies do not answer in time must not be waited for
// patience    ms for what must settle, if not 15 s: for what is known to be at fault
// numbers     a text, NaN or -1 in their place must be refused when it is made
import {
  createHmac,
  createSecretKey,
  randomBytes,
  randomUUID,
} from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { memoryStore as ordersInMemory } from '../../../snippets/architecture/layered/memory.mjs';
import { SCHEMA } from '../../../snippets/architecture/schema.mjs';
import { ordersOf } from '../../../snippets/hardening/orders.mjs';
import { memoryStore as sessionsInMemory } from '../../../snippets/jwt/stores.mjs';
import { createMetrics } from '../../../snippets/observability/metrics.mjs';
import { createPino } from '../../../snippets/observability/loggers.mjs';
import { createStore } from '../../../snippets/rest-apis/store.mjs';
import { memoryLog } from '../../../snippets/websockets/log.mjs';
import { createTickets } from '../../../snippets/websockets/tickets.mjs';

const require = createRequire(new URL('../../../snippets/', import.meta.url));
const express = require('express');
const { WebSocket, WebSocketServer } = require('ws');

const JSON_TYPE = { 'Content-Type': 'application/json' };
const FORM_TYPE = { 'Content-Type': 'application/x-www-form-urlencoded' };
const json = (where, value, status, more = {}) => ({
  method: 'POST',
  path: where,
  headers: { ...JSON_TYPE, ...more.headers },
  body: typeof value === 'function' ? value : JSON.stringify(value),
  status,
  ...(more.asks && { asks: more.asks }),
});
const get = (where, status, more) => ({ path: where, status, ...more });
const ann = () => ({ id: 'ann' });
const silent = createPino({ destination: { write() {} } });
const asked = { asks: 'authenticate' };

/** A middleware by itself, behind which everything is fine. */
const behind = (middleware) => {
  const app = express();
  app.use(...[middleware].flat(), (req, res, next) => next());
  app.get('/', (req, res) => res.sendStatus(204));
  app.use((error, req, res, next) =>
    res.headersSent ? next(error) : res.sendStatus(error.status ?? 500),
  );
  return app;
};

/** Middleware that answers what the app in front of it threw. */
const afterwards = (handler) => {
  const app = express();
  app.get('/', (req, res) => res.sendStatus(204));
  app.get('/fails', async () => Promise.reject(new Error('played')));
  app.get('/fails-with-nothing', async () => Promise.reject(undefined));
  app.use(...[handler].flat());
  return app;
};

const place = { items: [{ sku: 'tea', quantity: 1 }] };
// what all three architectures answer alike
const threeVersions = {
  deps: () => ({ authenticate: ann }),
  requests: [
    json('/orders', place, 201, asked),
    json('/orders', {}, 422, asked),
    get('/orders/ord_none', 404, asked),
  ],
};

const once = (event, emitter) =>
  new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

/** One message over a socket, or how the socket ended; it leaves after a while. */
async function firstMessage({ host, port }, where) {
  const socket = new WebSocket(`ws://${host}:${port}${where}`);
  const ended = once('close', socket).then(([code]) => `closed ${code}`);
  socket.on('error', () => {});
  const message = once('message', socket).then(([data]) => String(data));
  const late = setTimeout(() => socket.terminate(), 2000);
  const first = await Promise.race([message, ended]);
  clearTimeout(late);
  socket.terminate();
  return first;
}

const secretEnv = () => ({
  SIGNING_SECRET: randomBytes(32).toString('base64url'),
});
const folder = (files = {}) => {
  const made = mkdtempSync(path.join(tmpdir(), 'company-'));
  for (const [file, text] of Object.entries(files))
    writeFileSync(path.join(made, file), text);
  return made;
};
const hs256 = () => {
  const key = createSecretKey(randomBytes(32));
  return { kid: 'main', alg: 'HS256', private: key, public: key };
};
const names = {
  issuer: 'https://shop.test',
  audience: 'https://api.shop.test',
};
const claims = { sub: 'ann', sid: 's' };

const shopDatabase = () => {
  const db = new DatabaseSync(':memory:');
  db.exec(SCHEMA);
  return db;
};
const redisInMemory = () => {
  const kept = new Map();
  return {
    set: async (key, value) => kept.set(key, value) && 'OK',
    exists: async (key) => Number(kept.has(key)),
    eval: async () => 1,
    del: async (key) => Number(kept.delete(key)),
  };
};
const limiter = {
  deps: () => ({ limit: 2, windowMs: 1000 }),
  numbers: { limit: 2, windowMs: 1000 },
};
const threeCalls = async (allow) => {
  const key = randomUUID();
  return [1, 2, 3].map(() => allow(key)).join();
};

export const recipes = {
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

  'clustering/report.mjs#createApp': {
    deps: () => ({ threads: 1, to: 1000 }),
    requests: [get('/report', 200), get('/health', 200)],
  },
  'clustering/shutdown.mjs#drainable': {
    make: (drainable, deps) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return {
        server,
        drain: drainable(server, { patienceMs: 500, ...deps }),
      };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    close: ({ drain }) => drain(),
  },

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

  'hardening/app.mjs#createApp': {
    deps: () => ({
      store: ordersOf([
        {
          id: 'ord_1',
          customer: 'ann',
          note: 'x',
          status: 'open',
          version: 1,
        },
      ]),
      check: async () => ({ id: 'ann' }),
      authenticate: ann,
      reportLimits: [],
    }),
    requests: [
      get('/orders', 200, asked),
      get('/orders/ord_1', 200, asked),
      {
        method: 'POST',
        path: '/login',
        headers: { ...FORM_TYPE, Origin: 'https://shop.test' },
        body: 'email=ann%40shop.test&password=x',
        status: 303,
      },
    ],
  },
  'hardening/archive.mjs#createApp': {
    deps: () => ({ folder: folder({ 'a.txt': 'a', 'terms.txt': 't' }) }),
    requests: [get('/archive?name=a.txt', 200), get('/archive?name=..', 400)],
  },
  'hardening/csrf.mjs#fromOurPages': {
    make: (fromOurPages) => behind(fromOurPages('https://shop.test')),
    requests: [get('/', 204), { method: 'POST', path: '/', status: 403 }],
  },
  'hardening/files.mjs#createApp': {
    deps: () => ({
      root: folder({ stored: 'x' }),
      files: {
        get: async () => ({ owner: 'ann', name: 'a.txt', stored: 'stored' }),
      },
      authenticate: ann,
    }),
    requests: [get('/files/1', 200, asked)],
  },
  'hardening/headers.mjs#headers': {
    make: (headers) => behind(headers()),
    requests: [get('/', 204)],
  },
  'hardening/leaks.mjs#createApp': {
    deps: () => ({
      env: { ...secretEnv(), PATH: process.env.PATH },
      printer: 'true',
    }),
    requests: [
      get('/orders/ord_1/link', 200),
      json('/labels', {}, 200),
      get('/carriers', 500),
    ],
  },
  'hardening/outbound.mjs#outboundOf': {
    deps: () => ({
      hosts: ['partner.test:443'],
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      ms: 500,
    }),
    use: (read) => read('https://partner.test/'),
    deadline: true,
    numbers: { ms: 500, bytes: 1000 },
  },
  'hardening/passwords.mjs#passwordsOf': {
    deps: () => ({ ln: 10 }),
    use: async ({ hash, check }) => check('secret', await hash('secret')),
    numbers: { ln: 10, r: 8, p: 1, atOnce: 2 },
  },
  'hardening/reports.mjs#reports': {
    deps: () => ({ limits: [] }),
    make: (reports, deps) => behind(reports(deps)),
    requests: [
      {
        method: 'POST',
        path: '/csp-reports',
        headers: { 'Content-Type': 'application/csp-report' },
        body: '{"csp-report":{"blocked-uri":"inline"}}',
        status: 204,
      },
    ],
  },
  'hardening/session.mjs#sessionsOf': {
    deps: () => ({
      rows: {
        get: async () => undefined,
        set: async () => {},
        delete: async () => {},
      },
    }),
    use: (sessions) => sessions.userOf({ headers: {} }),
    numbers: { life: 1000 },
  },
  'hardening/settings.mjs#createApp': {
    deps: () => ({ authenticate: ann, isAdmin: async () => true }),
    requests: [
      {
        ...json('/settings', { theme: 'dark' }, 204, asked),
        method: 'PATCH',
      },
      get('/admin/orders', 200, { asks: 'isAdmin' }),
    ],
  },

  'jwt/app.mjs#createApp': {
    deps: () => ({
      issue: async () => 'token',
      sessions: {
        start: async () => ({ user: 'ann', sid: 's', token: 't' }),
        rotate: async () => ({ user: 'ann', sid: 's', token: 't' }),
        end: async () => 's',
      },
      authenticate: async () => ({ id: 'ann' }),
      revoke: async () => {},
      check: async () => ({ id: 'ann' }),
      origins: ['https://shop.test'],
    }),
    requests: [
      json('/login', { email: 'a@b.test', password: 'x' }, 204, {
        asks: 'check',
        headers: { Origin: 'https://shop.test' },
      }),
      {
        method: 'POST',
        path: '/refresh',
        headers: { Origin: 'https://shop.test' },
        status: 204,
      },
      {
        method: 'POST',
        path: '/logout',
        headers: { Origin: 'https://shop.test' },
        status: 204,
      },
      get('/me', 200, asked),
    ],
  },
  'jwt/authenticate.mjs#createAuthenticate': {
    deps: () => ({ verify: async () => claims, revoked: async () => false }),
    use: async (authenticate) =>
      (await authenticate({ headers: { authorization: 'Bearer x' } }))?.id,
  },
  'jwt/tokens.mjs#createTokens': {
    deps: () => ({ key: hs256(), ...names }),
    use: async (issue) =>
      (await issue({ id: 'ann', sid: 's' })).split('.').length,
    numbers: { lifetime: 300 },
  },
  'jwt/jose.mjs#createTokens': {
    deps: () => ({ key: hs256(), ...names }),
    use: async (issue) =>
      (await issue({ id: 'ann', sid: 's' })).split('.').length,
    numbers: { lifetime: 300 },
  },
  'jwt/verify.mjs#createVerifier': {
    deps: () => ({ keys: new Map(), ...names, refused: async () => {} }),
    use: (verify) => verify('e30.e30.x'),
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/jose.mjs#createVerifier': {
    deps: () => ({
      keys: async () => hs256().public,
      algorithms: ['HS256'],
      ...names,
      refused: async () => {},
    }),
    use: (verify) => verify(forged()),
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/keys.mjs#createKeys': {
    deps: () => ({
      url: 'https://issuer.test/jwks',
      timeout: 500,
      cooldown: 0,
      fetch: async () => new Response('{"keys":[]}', { headers: JSON_TYPE }),
    }),
    use: (keys) => keys({ kid: 'x', alg: 'ES256' }, {}),
    deadline: true,
    numbers: { cooldown: 1000, maxAge: 1000, timeout: 1000 },
  },
  'jwt/refresh.mjs#createSessions': {
    deps: () => ({
      store: sessionsInMemory(),
      secret: randomBytes(32),
      reused: async () => {},
    }),
    use: async (sessions) => {
      const { token } = await sessions.start('ann');
      return (await sessions.rotate(token))?.user;
    },
    numbers: { grace: 1000 },
  },
  'jwt/revocations.mjs#createRevocations': {
    deps: () => ({ redis: redisInMemory() }),
    use: async ({ revoke, revoked }) => {
      await revoke('s');
      return revoked({ sid: 's' });
    },
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/ring.mjs#createKeyRing': {
    deps: () => ({ ahead: 1000, lifetime: 1000 }),
    use: async (ring) => ring.jwks().keys.length,
    numbers: { ahead: 1000, lifetime: 1000 },
  },
  'jwt/stores.mjs#memoryStore': {
    use: async (store) => store.end('s'),
    numbers: { life: 1000 },
  },
  'jwt/stores.mjs#redisStore': {
    deps: () => ({ redis: redisInMemory() }),
    make: (redisStore, { redis, ...rest }) => redisStore(redis, rest),
    use: async (store) => store.end('s'),
    numbers: { life: 1000 },
  },
  'jwt/shop.mjs#createApp': {
    deps: () => ({
      env: {
        JWT_SECRET: randomBytes(32).toString('base64url'),
        REFRESH_SECRET: randomBytes(32).toString('base64url'),
        JWT_ISSUER: names.issuer,
        JWT_AUDIENCE: names.audience,
        ORIGINS: 'https://shop.test',
      },
      check: async () => ({ id: 'ann' }),
    }),
    requests: [
      json('/login', { email: 'a@b.test', password: 'x' }, 204, {
        asks: 'check',
        headers: { Origin: 'https://shop.test' },
      }),
      get('/me', 401),
    ],
  },
  'jwt/cookies.mjs#fromOurOrigins': {
    make: (fromOurOrigins) => behind(fromOurOrigins(['https://shop.test'])),
    requests: [get('/', 204)],
  },

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

  'validation/accounts.mjs#createApp': {
    deps: () => ({ mail: async () => {} }),
    requests: [json('/resets', { name: 'ann' }, 202)],
  },
  'validation/message.mjs#receiverOf': {
    deps: () => ({
      parse: (value) => ({ value }),
      handle: async () => 'handled',
      refuse: async () => 'refused',
    }),
    use: async (receive) =>
      [
        await receive(Buffer.from('{}')),
        await receive(Buffer.from('{')),
      ].join(),
    numbers: { maxBytes: 100 },
  },
  'validation/quietly.mjs#quietly': {
    deps: () => ({ act: async () => {} }),
    make:
      (quietly, { act }) =>
      () =>
        quietly(act, 'news'),
    use: (run) => run(),
  },
  'validation/reviews.mjs#createApp': {
    deps: () => ({ log: () => {} }),
    requests: [
      get('/reviews?name=Ann', 200),
      get('/reviews', 400),
      json('/reviews', {}, 422),
    ],
  },
  'validation/search.mjs#createApp': { requests: [get('/health', 404)] },
  'validation/threads.mjs#createApp': {
    requests: [json('/threads', { text: 'x' }, 201)],
  },
  'validation/upload.mjs#createApp': {
    deps: () => ({
      photos: { get: async () => undefined, set: async () => {} },
    }),
    requests: [
      get('/photos/none', 404),
      upload(),
      { method: 'POST', path: '/photos', status: 400 },
    ],
  },
  'validation/upload.mjs#uploadServer': {
    make: (uploadServer) =>
      uploadServer((req, res) => res.writeHead(204).end()),
    requests: [get('/', 204)],
  },
  'validation/validate.mjs#jsonBody': {
    make: (jsonBody) => behind(jsonBody()),
    requests: [json('/', {}, 404)],
  },

  'websockets/account.mjs#ticketRoute': {
    deps: () => ({
      sessionOf: () => ({ user: 'ann' }),
      tickets: createTickets(),
    }),
    make: (ticketRoute, deps) =>
      behind([express.Router().use('/ticket', ticketRoute(deps))]),
    requests: [
      { method: 'POST', path: '/ticket', status: 200, asks: 'sessionOf' },
    ],
  },
  'websockets/account.mjs#attachOrders': {
    deps: () => {
      const tickets = createTickets();
      return {
        origins: [],
        tickets,
        issue: tickets.issue,
        ordersOf: async () => ['ord_1'],
      };
    },
    always: ['issue'], // ours, to get in
    make: (attachOrders, { issue, ...deps }) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return { server, issue, sockets: attachOrders(server, deps) };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    use: async ({ issue }, to) =>
      to.port
        ? firstMessage(to, `/orders?ticket=${await issue({ user: 'ann' })}`)
        : '["ord_1"]',
    close: ({ sockets }) => sockets.leave({ patienceMs: 100 }),
  },
  'websockets/attach.mjs#attach': {
    deps: () => ({
      path: '/echo',
      origins: [],
      authenticate: async () => ({ user: 'ann' }),
      onOpen: async (socket) => socket.send('hello'),
      onMessage: async () => {},
    }),
    make: (attach, deps) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return { server, sockets: attach(server, deps) };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    use: (_, to) => (to.port ? firstMessage(to, '/echo') : 'hello'),
    close: ({ sockets }) => sockets.leave({ patienceMs: 100 }),
  },
  'websockets/client.mjs#follow': {
    deps: () => ({
      url: async () => 'ws://127.0.0.1:1/',
      onEvent: async () => {},
      spreadMs: 5,
      maxMs: 5,
    }),
    make: (follow, deps) => deps && ((signal) => follow({ ...deps, signal })),
    use: async (run) => {
      const controller = new AbortController();
      const running = run(controller.signal);
      setTimeout(() => controller.abort(), 100);
      await running;
      return 'ended';
    },
    deadline: true,
  },
  'websockets/feed.mjs#createFeed': {
    deps: () => ({ log: memoryLog() }),
    use: async (feed) => feed.publish({ n: 1 }).then(() => 'published'),
    numbers: { batch: 10, beatMs: 1000 },
  },
  'websockets/live.mjs#createApp': {
    deps: () => ({
      sessionOf: async () => ({ user: 'ann' }),
      log: memoryLog(),
      tickets: createTickets(),
    }),
    requests: [
      get('/feed', 200, { asks: 'sessionOf', stream: true }),
      { method: 'POST', path: '/ticket', status: 200, asks: 'sessionOf' },
    ],
  },
  'websockets/log.mjs#memoryLog': {
    use: async (log) => (await log.append({ n: 1 })) > 0,
    numbers: { keep: 10 },
  },
  'websockets/ticker.mjs#tick': {
    make: (tick) => () =>
      tick(new WebSocketServer({ noServer: true }), '[]') ?? 'ticked',
    use: async (run) => run(),
  },
  'websockets/tickets.mjs#createTickets': {
    use: async (tickets) =>
      tickets.redeem(tickets.issue({ user: 'ann' })).user,
    numbers: { ttlMs: 1000 },
  },
};

/** A form with a picture of eight bytes. */
function upload() {
  const png = '\x89PNG\r\n\x1a\n';
  const body = Buffer.from(
    '--b\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n' +
      `Content-Type: image/png\r\n\r\n${png}\r\n--b--\r\n`,
    'latin1',
  );
  const headers = { 'Content-Type': 'multipart/form-data; boundary=b' };
  return { method: 'POST', path: '/photos', headers, body, status: 201 };
}

/** Well formed, and signed by nobody whom we know. */
function forged() {
  const text = (value) =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const content = `${text({ alg: 'HS256', kid: 'main', typ: 'at+jwt' })}.${text(claims)}`;
  const mac = createHmac('sha256', 'x').update(content).digest('base64url');
  return `${content}.${mac}`;
}
