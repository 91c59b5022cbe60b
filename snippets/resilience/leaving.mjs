// node resilience/leaving.mjs URL PID LEDGER: sends requests as a balancer
// does, ends the process with SIGTERM, and counts what failed.
// output: varies — it measures, and needs a process to end
// --8<-- [start:leaving]
/* eslint-disable security/detect-non-literal-fs-filename --
   its own argument */
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

const [url, pid, ledger] = process.argv.slice(2);
const send = (path, method = 'GET') =>
  new Promise((resolve) => {
    const asked = request(`${url}${path}`, { method, agent: false });
    asked
      .on('error', () => resolve(0))
      .on('response', (answer) => {
        answer.on('error', () => resolve(0)).resume();
        answer.on('end', () => resolve(answer.statusCode));
      });
    asked.end();
  });
const alive = () => {
  try {
    return process.kill(Number(pid), 0);
  } catch {
    return false;
  }
};

const open = new WebSocket(url.replace('http', 'ws')).on('error', () => {});
await new Promise((resolve) => open.once('open', resolve));
let inRotation = true;
const probes = setInterval(async () => {
  const status = await send('/readyz');
  inRotation &&= status !== 0 && status < 500;
}, 250);
// --8<-- [end:leaving]

// --8<-- [start:counts]
const [sent, yes] = [[], []];
const begin = performance.now();
let told;
for (let n = 0; inRotation && n < 400; n += 1) {
  if (!told && performance.now() - begin > 500) {
    told = performance.now();
    process.kill(Number(pid), 'SIGTERM');
  }
  const [path, method] = n % 2 ? ['/slow', 'GET'] : [`/orders/${n}`, 'POST'];
  const one = send(path, method);
  if (n % 2 === 0) one.then((status) => status === 202 && yes.push(`${n}`));
  sent.push(one);
  await sleep(10);
}
clearInterval(probes);
while (alive() && performance.now() - told < 3000) await sleep(10);
const exitMs = alive() ? null : performance.now() - told;
const failed = (await Promise.all(sent)).filter((s) => s === 0 || s >= 300);
const written = new Set(readFileSync(ledger, 'utf8').split('\n'));
const forgotten = yes.filter((id) => !written.has(id)).length;
open.terminate();
const counts = { sent: sent.length, failed: failed.length, forgotten };
console.log(JSON.stringify({ ...counts, exitMs }));
// --8<-- [end:counts]
