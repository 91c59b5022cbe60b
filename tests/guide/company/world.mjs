// node world.mjs topic/file.mjs#export [RECIPES]
//
// Plays an impolite world against one exported factory, as its recipe says how it is
// used politely. Prints one JSON object: { phases: […], faults: ["phase: what"] }.
// Every phase ends with the polite use again: it must go as it went at first. The
// process must end by itself.
//
// A recipe stands in tests/topics/<topic>/company.mjs and holds, each part if needed:
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
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';

const HERE = '127.0.0.1';
const LEAVES = 300; // ms after which a client gives up on what never comes
const MOODS = ['throws', 'rejects', 'rejects with nothing', 'never settles'];
// who is asked whether somebody may: "I could not tell" must not be a yes
const GUARDS =
  /^(authenticate|sessionOf|isAdmin|check|verify|revoked|userOf)$/;

const here = import.meta.dirname;
const [name, given] = process.argv.slice(2);
const [file, exported] = name.split('#');
const topics = path.join(here, '../../topics');
const book = given ?? path.join(topics, file.split('/')[0], 'company.mjs');
const { recipes } = await import(pathToFileURL(book));
const recipe = recipes[name];
// ms for what must settle: it waits no longer than needed
const PATIENCE = recipe.patience ?? 15_000;
const module = await import(
  pathToFileURL(path.resolve(here, '../../../snippets', file))
);
const factory = module[exported];

const phases = [];
let reported = false;
const faults = new Set();
let phase = 'start';
const fault = (what) => faults.add(`${phase}: ${what}`);
const said = (error) =>
  String(error?.stack ?? error)
    .split('\n', 2)
    .join(' ');
for (const event of ['unhandledRejection', 'uncaughtException']) {
  process.on(event, (error) =>
    fault(`${event}, which ends the process: ${said(error)}`),
  );
}
process.on('warning', (warning) => {
  if (warning.name === 'MaxListenersExceededWarning') fault(warning.message);
});

// --- dependencies with moods -----------------------------------------------------

/** What is polite until `mood.now` says otherwise. The polite one is called first: an
 * answer that is lost has had its effect. What gives an object with methods, such as
 * store.of(id), is synchronous; its methods have the mood. */
function moody(polite, mood) {
  if (typeof polite === 'function') return call(polite, undefined, mood);
  return new Proxy(polite, {
    get(target, key) {
      const value = Reflect.get(target, key, target);
      return typeof value === 'function' ? call(value, target, mood) : value;
    },
  });
}

const hasMethods = (value) =>
  value !== null &&
  typeof value === 'object' &&
  typeof value.then !== 'function' &&
  Object.values(value).some((one) => typeof one === 'function');

function call(method, target, mood) {
  return function moodyCall(...args) {
    const result = method.apply(target ?? this, args);
    if (hasMethods(result)) return moody(result, mood);
    if (mood.now === 'polite') return result;
    Promise.resolve(result).catch(() => {}); // it is lost
    if (mood.now === 'throws') throw new Error('played: thrown');
    if (mood.now === 'rejects')
      return Promise.reject(new Error('played: rejected'));
    if (mood.now === 'rejects with nothing') return Promise.reject(undefined);
    if (mood.now === 'says no, later') return sleep(1, false);
    return never(args);
  };
}

/** Not by itself, that is: whoever gave a signal may end it, as with fetch. */
function never(args) {
  const given = args.flatMap((one) => [one, one?.signal]);
  const signal = given.find((one) => one instanceof AbortSignal);
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}

const canHaveMoods = (key, value) =>
  key !== 'logger' && // one that throws is its own fault; see observability
  (typeof value === 'function' || hasMethods(value)) &&
  !(recipe.always ?? []).includes(key);

// --- one thing, made and served ---------------------------------------------------

async function made(changes = {}) {
  const controller = new AbortController();
  const mood = { now: 'polite' };
  const errors = [];
  const logger = {
    info() {},
    warn() {},
    error: (...line) => errors.push(line),
  };
  const given = {
    signal: controller.signal,
    logger,
    ...(await recipe.deps?.()),
    ...changes,
  };
  return { controller, mood, errors, given };
}

/** `use()` runs the polite use and gives what came out, comparable. */
async function open({ moodOf, listen = [0, HERE], changes } = {}) {
  const world = await made(changes);
  const deps = { ...world.given };
  if (moodOf) deps[moodOf] = moody(deps[moodOf], world.mood);
  const thing = await (recipe.make
    ? recipe.make(factory, deps)
    : factory(deps));
  let server;
  if (recipe.requests) {
    const served = recipe.serve ? await recipe.serve(thing, deps) : thing;
    server = typeof served === 'function' ? createServer(served) : served;
    server.listen(...listen);
    await once(server, 'listening');
  }
  const at = server?.address();
  const to =
    typeof at === 'string'
      ? { socketPath: at }
      : { host: HERE, port: at?.port };
  async function use(ms = PATIENCE) {
    const results = [];
    for (const one of recipe.requests ?? [])
      results.push(await ask(to, one, ms));
    if (recipe.use)
      results.push(await settled(recipe.use(thing, { ...deps, ...to }), ms));
    return results;
  }
  async function close() {
    world.controller.abort();
    await recipe.close?.(thing, deps);
    if (!server?.listening) return;
    server.close();
    server.closeAllConnections?.();
  }
  return { ...world, thing, deps, server, to, use, close };
}

async function settled(promise, ms) {
  const over = new AbortController();
  const late = sleep(ms, 'silent', { signal: over.signal }).catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } catch (error) {
    return `rejected: ${error?.message}`;
  } finally {
    over.abort();
  }
}

/** A request whose headers or body are to be new each time. */
const fresh = (one) =>
  Object.fromEntries(
    Object.entries(one).map(([key, value]) => [
      key,
      typeof value === 'function' ? value() : value,
    ]),
  );

/** The status of one request, or what happened instead. */
function ask(to, one, ms) {
  const {
    method = 'GET',
    path: where = '/',
    headers,
    body,
    stream,
  } = fresh(one);
  return new Promise((resolve) => {
    const asked = request({
      ...to,
      method,
      path: where,
      headers,
      agent: false,
    });
    const late = setTimeout(() => asked.destroy(new Error('silent')), ms);
    const done = (result) => {
      clearTimeout(late);
      resolve(result);
    };
    asked.on('error', ({ code, message }) => done(code ?? message));
    asked.on('upgrade', (answer, socket) => {
      socket.destroy();
      done(answer.statusCode);
    });
    asked.on('response', (answer) => {
      answer.on('error', ({ code }) => done(code));
      if (stream) {
        answer.destroy();
        done(answer.statusCode);
      }
      answer.resume().on('end', () => done(answer.statusCode));
    });
    asked.end(body);
  });
}

// --- impolite clients -----------------------------------------------------------

/** Bytes on a connection of its own; what comes back until it ends. */
async function raw(to, bytes, { reset, half } = {}) {
  const socket = connect(to.socketPath ? { path: to.socketPath } : to);
  const got = [];
  socket.on('data', (chunk) => got.push(chunk)).on('error', () => {});
  await once(socket, 'connect');
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  if (half) socket.end();
  if (reset !== undefined) {
    await sleep(reset);
    socket.resetAndDestroy();
  }
  await Promise.race([closed, sleep(LEAVES)]);
  socket.destroy();
  return Buffer.concat(got).toString('latin1');
}

// * is for OPTIONS, and Express has nothing for it
const TARGETS = [
  '//',
  '//..//',
  '/%zz',
  '/%00',
  '*',
  'http://[::1]/',
  '/?a[b]=c&a=d&a=e',
];

const head = ({ method = 'GET', path: where = '/', headers = {} }, length) =>
  [
    `${method} ${where} HTTP/1.1`,
    'Host: x',
    ...Object.entries(headers).map((pair) => pair.join(': ')),
    ...(length === undefined ? [] : [`Content-Length: ${length}`]),
    '\r\n',
  ].join('\r\n');

const BODIES = {
  'no JSON': '{',
  nothing: '',
  null: 'null',
  list: '[]',
  text: '"x"',
  deep: '['.repeat(5000),
  prototype: '{"__proto__":{"a":1},"constructor":{"prototype":{}}}',
  NUL: '{"id":"\\u0000\\ud800"}',
};

async function impoliteClients(world) {
  world.errors.splice(0); // of the polite use
  const errors = () =>
    world.errors.splice(0).map(([line]) => said(line?.error ?? line?.err));
  for (const target of TARGETS) {
    const sent = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    const answer = await raw(world.to, sent);
    const status = Number(answer.slice(9, 12));
    if (status >= 500) fault(`GET ${target} is answered with ${status}`);
    for (const line of errors())
      fault(`GET ${target} is logged as our error: ${line}`);
  }
  for (const one of recipe.requests.map(fresh)) {
    const what = `${one.method ?? 'GET'} ${one.path ?? '/'}`;
    if (one.body !== undefined) {
      for (const [kind, body] of Object.entries(BODIES)) {
        const status = await ask(world.to, { ...one, body }, PATIENCE);
        if (!(status < 500))
          fault(`${what} with ${kind} is answered with ${status}`);
      }
      errors();
    }
    const length = Buffer.byteLength(one.body ?? '');
    const whole =
      head(one, one.body === undefined ? undefined : length) +
      (one.body ?? '');
    const cut = head(one, length + 10) + (one.body ?? '');
    await Promise.all([
      raw(world.to, whole, { reset: 0 }),
      raw(world.to, whole, { reset: 5 }),
      raw(world.to, whole.slice(0, 20), { reset: 5 }),
      raw(world.to, cut, { reset: 5 }),
      raw(world.to, cut, { half: true }),
      raw(world.to, whole, { half: true }),
    ]);
    errors();
  }
  await noneLeft(world.server);
}

async function noneLeft(server) {
  for (let waited = 0; waited < PATIENCE; waited += 50) {
    const [count] = await new Promise((resolve) =>
      server.getConnections((error, number) => resolve([number])),
    );
    if (count === 0) return;
    await sleep(50);
  }
  fault('connections of clients that are gone are still held');
}

// --- the phases ------------------------------------------------------------------

async function during(what, options, act) {
  phase = what;
  phases.push(what);
  let world;
  try {
    world = await open(options);
    const first = await world.use();
    const silent =
      first.includes('silent') || first.some((one) => /^E|hang up/.test(one));
    if (silent) fault(`the polite use goes wrong: ${first.join(', ')}`);
    await act(world, first);
    world.mood.now = 'polite';
    const again = await recovered(world, first);
    if (!isDeepStrictEqual(first, again))
      fault(
        `afterwards the polite use gives ${again.join(', ')}, and not ${first.join(', ')}`,
      );
    await world.close();
  } catch (error) {
    fault(`the world itself failed: ${said(error)}`);
    await world?.close().catch(() => {});
  }
  await sleep(20); // what nobody caught is told a turn later
}

const nameOf = (n) => {
  const one = recipe.requests?.[n];
  return one ? `${one.method ?? 'GET'} ${one.path ?? '/'}` : 'the use';
};

/** What is used up, or busy, may take a moment to be well again. */
async function recovered(world, first) {
  const until = performance.now() + PATIENCE;
  for (;;) {
    const again = await world.use();
    if (isDeepStrictEqual(first, again) || performance.now() > until)
      return again;
    await sleep(50);
  }
}

await during('polite', {}, async (world, first) => {
  const expected = (recipe.requests ?? []).map(({ status }) => status);
  const statuses = first.slice(0, expected.length);
  if (!isDeepStrictEqual(statuses, expected))
    fault(`a recipe is wrong: ${statuses} and not ${expected}`);
});

if (faults.size) {
  report(); // nothing else would mean anything
  process.exit();
}

const example = await made();
example.controller.abort();
for (const [key, value] of Object.entries(example.given)) {
  if (!canHaveMoods(key, value)) continue;
  for (const mood of MOODS) {
    await during(`${key} ${mood}`, { moodOf: key }, async (world, first) => {
      world.mood.now = mood;
      const never = mood === 'never settles';
      const results = await world.use(
        never && !recipe.deadline ? LEAVES : PATIENCE,
      );
      results.forEach((result, n) => {
        const what = nameOf(n);
        if (result === 'silent' && !(never && !recipe.deadline))
          fault(`${what} never ends`);
        if (/^E|hang up/.test(result)) fault(`${what} is cut off: ${result}`);
        const isYes = recipe.requests?.[n]?.asks === key && result < 300;
        if (GUARDS.test(key) && isYes)
          fault(`${what} is let in, with ${result}`);
      });
      if (world.server) await noneLeft(world.server);
    });
  }
  if (GUARDS.test(key)) {
    await during(`${key} says no, later`, { moodOf: key }, async (world) => {
      world.mood.now = 'says no, later';
      const results = await world.use();
      results.forEach((result, n) => {
        const one = recipe.requests?.[n];
        if (one?.asks === key && result < 300)
          fault(`${nameOf(n)} is let in, with ${result}`);
      });
    });
  }
}

if (recipe.requests) {
  await during('impolite clients', {}, impoliteClients);
  await during('two on one process', {}, async (one, first) => {
    const two = await open();
    try {
      const second = await two.use();
      if (!isDeepStrictEqual(first, second))
        fault(
          `the second one gives ${second.join(', ')}, and not ${first.join(', ')}`,
        );
    } finally {
      await two.close();
    }
  });
  // a socket's path has room for about a hundred bytes, and tmpdir() may be deep
  const folder = mkdtempSync('/tmp/company-');
  const plain = (phases.at(0), await statuses());
  await during(
    'no address',
    { listen: [path.join(folder, 's')] },
    async (world, first) => {
      if (!isDeepStrictEqual(first, plain))
        fault(
          `without an address the answers are ${first.join(', ')}, and not ${plain.join(', ')}`,
        );
    },
  );
  rmSync(folder, { recursive: true });
}

async function statuses() {
  const world = await open();
  try {
    return await world.use();
  } finally {
    await world.close();
  }
}

for (const [key, valid] of Object.entries(recipe.numbers ?? {})) {
  phase = `${key} is no number`;
  phases.push(phase);
  for (const wrong of [String(valid), NaN, -1]) {
    let world;
    try {
      world = await open({ changes: { [key]: wrong } });
      fault(`${typeof wrong} ${wrong} is taken`);
    } catch (error) {
      if (!String(error?.message).includes(key))
        fault(`the error does not name ${key}: ${said(error)}`);
    } finally {
      await world?.close();
    }
  }
}

phase = 'end';
setTimeout(() => {
  fault(`left running: ${process.getActiveResourcesInfo().join(', ')}`);
  report();
  process.exit();
}, PATIENCE).unref();
process.on('beforeExit', report);
function report() {
  if (!reported) console.log(JSON.stringify({ phases, faults: [...faults] }));
  reported = true;
}
