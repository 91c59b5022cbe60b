// --8<-- [start:supervise]
import cluster from 'node:cluster';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** Keeps `count` workers running. `ready` gives the port once all listen,
 * `stop` ends them in peace, `restart` replaces one after the other. */
export function supervise({ count, port, startMs = 30_000, ...limits }) {
  const { budget = 5, windowMs = 10_000 } = limits;
  const env = { PORT: port }; // of the workers
  const crashes = []; // when they happened, in ms
  const leaving = new Set(); // workers whose end is no surprise
  let stopping = false;

  const tell = (fields) => console.error(JSON.stringify(fields));
  const alive = () => Object.values(cluster.workers);
  const refill = () =>
    stopping || alive().length >= count || cluster.fork(env);

  cluster.on('exit', (worker, code, signal) => {
    if (leaving.delete(worker) || stopping) return;
    const now = performance.now();
    // SIGKILL comes from outside: an operator, or the kernel out of memory
    if (code !== 0 && signal !== 'SIGKILL') crashes.push(now);
    while (crashes[0] < now - windowMs) crashes.shift();
    const delay = Math.min(5000, 25 * 2 ** crashes.length); // 50, 100, 200, …
    tell({ died: worker.process.pid, code, signal, delay });
    if (crashes.length > budget) {
      tell({ fatal: `${crashes.length} crashes in ${windowMs} ms` });
      process.exitCode = 1; // whoever started us decides what to do now
      stop();
    } else {
      setTimeout(refill, delay);
    }
  });
  // --8<-- [end:supervise]

  // --8<-- [start:restart]
  let restarting; // a second call joins the first
  const restart = () =>
    (restarting ??= replace().finally(() => (restarting = undefined)));

  /** Replaces each worker; the new one listens before the old one leaves. */
  async function replace() {
    for (const old of alive()) {
      const fresh = cluster.fork(env);
      leaving.add(fresh); // until it listens, its end is our business
      const listens = await Promise.race([
        once(fresh, 'listening').then(() => true),
        once(fresh, 'exit').then(() => false),
        sleep(startMs, false, { ref: false }),
      ]);
      if (!listens) {
        fresh.process.kill('SIGKILL'); // it may hang
        return tell({ restart: 'given up, the old code stays' });
      }
      leaving.delete(fresh);
      if (old.isDead()) continue; // it crashed meanwhile
      leaving.add(old);
      old.process.kill('SIGTERM'); // it drains, see worker.mjs
      await once(old, 'exit');
    }
    return tell({ restart: 'done' });
  }

  function stop() {
    stopping = true;
    for (const worker of alive()) worker.process.kill('SIGTERM');
  }
  // --8<-- [end:restart]

  const ready = new Promise((resolve) => {
    let listening = 0;
    cluster.on('listening', (worker, address) => {
      listening += 1;
      if (listening === count) resolve(address.port);
    });
  });
  for (let i = 0; i < count; i += 1) refill();
  return { ready, restart, stop };
}
