// node clustering/bursts.mjs: workers that compute at the same moment
// output: varies — it measures how late timers fire under a CPU limit
// --8<-- [start:bursts]
import cluster from 'node:cluster';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { countPrimes } from './primes.mjs';

const [EVERY, BURST, WORKERS] = [230, 70, 2]; // ms, ms of CPU, processes

/** Every 230 ms, at the same moment in all workers, 70 ms of computing. */
async function burst(seconds) {
  const late = []; // of a timer of 10 ms, in ms
  let due = performance.now() + 10;
  const timer = setInterval(() => {
    late.push(Math.max(0, performance.now() - due));
    due = performance.now() + 10;
  }, 10);
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    await new Promise((on) => setTimeout(on, EVERY - (Date.now() % EVERY)));
    const before = process.cpuUsage();
    for (let used = 0; used < BURST * 1000;) {
      countPrimes(2, 20_000); // about a millisecond
      const { user, system } = process.cpuUsage(before);
      used = user + system;
    }
  }
  clearInterval(timer);
  return late;
}
// --8<-- [end:bursts]

if (cluster.isPrimary) {
  const workers = Array.from({ length: WORKERS }, () => cluster.fork());
  await Promise.all(workers.map((worker) => once(worker, 'online')));
  const server = createServer(async (req, res) => {
    const [, what, seconds] = req.url.split('/');
    if (what === 'pids')
      return res.end(JSON.stringify(workers.map((one) => one.process.pid)));
    const done = workers.map((one) => once(one, 'message'));
    for (const worker of workers) worker.send(Number(seconds));
    const late = (await Promise.all(done)).flatMap(([its]) => its);
    return res.end(JSON.stringify(late));
  });
  process.on('SIGTERM', () => (cluster.disconnect(), server.close()));
  server.listen(process.env.PORT, '127.0.0.1', () =>
    console.log(`listening on http://127.0.0.1:${server.address().port}`),
  );
} else {
  process.on('SIGTERM', () => {}); // the primary disconnects it
  process.on('message', async (s) => process.send(await burst(s)));
}
