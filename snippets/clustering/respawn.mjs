// --8<-- [start:supervise]
import cluster from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';

/** Keeps `count` workers running. `ready` gives the port once all listen,
 * `stop` ends them in peace, `restart` replaces one after the other. A worker
 * not listening after `startMs`, or not gone after `leaveMs`, is killed.
 * @param {{ count: number, port: number, startMs?: number, leaveMs?: number,
 *   budget?: number, windowMs?: number }} limits */
export function supervise({ count, port, ...limits }) {
  const { startMs = 30_000, leaveMs = 15_000 } = limits; // a drain takes 8 s
  const { budget = 5, windowMs = 10_000 } = limits;
  numbers({ count, budget });
  numbers({ startMs, leaveMs, windowMs }, WAIT);
  const crew = new Map(); // of each worker the promise of its end
  const leaving = new Set(); // workers whose end is no surprise
  const crashes = []; // when they happened, in ms
  const stopping = new AbortController();

  const missing = () => count - (crew.size - leaving.size);
  function refill() {
    try {
      if (missing() > 0) start();
    } catch (error) {
      died({ error: error.message }); // the system refused
    }
  }

  // Each end that nobody asked for counts: also SIGKILL, which the kernel
  // sends when memory runs out, and an exit with code 0.
  function died(fields) {
    const now = performance.now();
    crashes.push(now);
    while (crashes[0] < now - windowMs) crashes.shift();
    const delay = Math.min(5000, 25 * 2 ** crashes.length); // 50, 100, 200, …
    tell({ ...fields, delay });
    if (crashes.length > budget) return giveUp();
    const { signal } = stopping;
    return sleep(delay, undefined, { signal }).then(refill, () => {});
  }
  // --8<-- [end:supervise]

  // --8<-- [start:start]
  function giveUp() {
    tell({ fatal: `${crashes.length} crashes in ${windowMs} ms` });
    // Whoever started us decides what to do now, so the primary ends, even if
    // something else in it is still open.
    stop().then(() => process.exit(1));
  }

  const ready = Promise.withResolvers();
  const serving = new Set();
  function start() {
    const worker = cluster.fork({ PORT: port });
    const ended = new Promise((resolve) => {
      worker.once('exit', (code, signal) => resolve({ code, signal }));
      worker.on('error', ({ message }) => {
        tell({ worker: worker.process.pid, error: message });
        if (!worker.process.pid) resolve({}); // never started: no exit
      });
    });
    const forget = (how) => {
      crew.delete(worker);
      serving.delete(worker);
      const expected = leaving.delete(worker) || stopping.signal.aborted;
      if (!expected) died({ died: worker.process.pid, ...how });
    };
    crew.set(worker, ended.then(forget));
    const hangs = killAfter(startMs, worker);
    worker.once('listening', (address) => {
      clearTimeout(hangs);
      serving.add(worker);
      if (serving.size >= count) ready.resolve(address.port);
    });
    worker.once('disconnect', () => killAfter(leaveMs, worker));
    return worker;
  }
  // --8<-- [end:start]

  // --8<-- [start:restart]
  let restarting; // a second call joins the first
  const restart = () =>
    (restarting ??= replace()
      .catch((error) => tell({ restart: `given up: ${error.message}` }))
      .finally(() => (restarting = undefined)));

  /** Replaces each worker; the new one listens before the old one leaves. */
  async function replace() {
    for (const old of [...crew.keys()]) {
      stopping.signal.throwIfAborted();
      const fresh = start();
      leaving.add(fresh); // until it listens, its end is our business
      const listens = await Promise.race([
        new Promise((on) => fresh.once('listening', () => on(true))),
        crew.get(fresh), // killed, at the latest, when startMs are over
      ]);
      stopping.signal.throwIfAborted();
      if (!listens) throw new Error('the old code stays');
      leaving.delete(fresh);
      if (crew.has(old)) await end(old);
      else if (missing() < 0) await end(fresh); // a crash was faster
    }
    tell({ restart: 'done' });
  }

  async function end(worker) {
    leaving.add(worker);
    worker.process.kill('SIGTERM'); // it drains, see worker.mjs
    killAfter(leaveMs, worker); // it may be blocked
    await crew.get(worker);
  }

  function stop() {
    stopping.abort(new Error('stopped'));
    return Promise.all([...crew.keys()].map(end));
  }
  // --8<-- [end:restart]

  function killAfter(ms, worker) {
    const timer = setTimeout(() => worker.process.kill('SIGKILL'), ms);
    Promise.resolve(crew.get(worker)).then(() => clearTimeout(timer));
    return timer;
  }

  for (let i = 0; i < count; i += 1) refill();
  return { ready: ready.promise, restart, stop };
}

const tell = (fields) => console.error(JSON.stringify(fields));
