// node resilience/leaving.mjs URL PID LEDGER: sends requests as a balancer
// does, ends the process with SIGTERM, and counts what failed.
/* eslint-disable security/detect-non-literal-fs-filename --
   its own argument */
// --8<-- [start:leaving]
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { WebSocket } from 'ws';

/** The status of one request on a connection of its own, 0 for none. */
function send(url, method = 'GET') {
  return new Promise((resolve) => {
    const asked = request(url, { method, agent: false });
    asked.on('error', () => resolve(0));
    asked.on('response', (answer) => {
      answer.on('error', () => resolve(0)).resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    asked.end();
  });
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
// --8<-- [end:leaving]

// --8<-- [start:counts]
/** Requests until readiness has failed; after half a second comes SIGTERM. */
export async function countFailures(url, pid, ledger) {
  const open = new WebSocket(url.replace('http', 'ws'));
  open.on('error', () => {});
  await new Promise((resolve) => open.once('open', resolve));
  let inRotation = true;
  const probes = setInterval(async () => {
    const status = await send(`${url}/readyz`);
    inRotation &&= status !== 0 && status < 500;
  }, 250);
  const [sent, yes] = [[], []];
  const begin = performance.now();
  let told;
  for (let n = 0; inRotation && n < 400; n += 1) {
    if (!told && performance.now() - begin > 500) {
      told = performance.now();
      process.kill(pid, 'SIGTERM');
    }
    const order = n % 2 === 0 && send(`${url}/orders/${n}`, 'POST');
    if (order) order.then((status) => status === 202 && yes.push(`${n}`));
    sent.push(order || send(`${url}/slow`));
    await sleep(10);
  }
  clearInterval(probes);
  while (isAlive(pid) && performance.now() - told < 3000) await sleep(10);
  const exitMs = isAlive(pid) ? null : performance.now() - told;
  open.terminate(); // who waits for it may end now
  const failed = (await Promise.all(sent)).filter((s) => s === 0 || s >= 300);
  const written = new Set(readFileSync(ledger, 'utf8').split('\n'));
  const forgotten = yes.filter((id) => !written.has(id)).length;
  return { sent: sent.length, failed: failed.length, forgotten, exitMs };
}
// --8<-- [end:counts]

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [url, pid, ledger] = process.argv.slice(2);
  const counts = await countFailures(url, Number(pid), ledger);
  console.log(JSON.stringify(counts));
}
