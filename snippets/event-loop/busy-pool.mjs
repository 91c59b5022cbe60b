// output: varies — it prints how long things took
// UV_THREADPOOL_SIZE=1 node event-loop/busy-pool.mjs: median ms of four kinds
// of work while the pool is idle, and while it hashes.
import { pbkdf2 } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup, Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import { promisify } from 'node:util';
import { answer } from './name-server.mjs';

const server = createServer((req, res) => res.end('ok'));
await once(server.listen(0, '127.0.0.1'), 'listening');
const names = createSocket('udp4', (query, from) =>
  names.send(answer(query), from.port),
).bind(0, '127.0.0.1');
await once(names, 'listening');
const resolver = new Resolver();
resolver.setServers([`127.0.0.1:${names.address().port}`]);

async function request() {
  const { port } = server.address();
  const [response] = await once(get({ port, host: '127.0.0.1' }), 'response');
  await once(response.resume(), 'end');
}

// --8<-- [start:busy-pool]
const kinds = {
  'fs.readFile': () => readFile('package.json'),
  'dns.lookup': () => lookup('localhost'),
  'dns.resolve4': () => resolver.resolve4('shop.test'),
  'HTTP to an address': request,
};

async function median(work) {
  const times = [];
  for (let i = 0; i < 9; i += 1) {
    const begun = performance.now();
    await work();
    times.push(performance.now() - begun);
  }
  return times.sort((a, b) => a - b)[4];
}

let stop = false;
async function hashOnAndOn() {
  const hash = promisify(pbkdf2);
  while (!stop) await hash('password', 'salt', 50_000, 32, 'sha512');
}

const idle = {};
for (const [kind, work] of Object.entries(kinds)) {
  await median(work); // warms up what both sides use
  idle[kind] = await median(work);
}
const hashing = hashOnAndOn();
for (const [kind, work] of Object.entries(kinds)) {
  console.log(`${kind},${idle[kind]},${await median(work)}`);
}
// --8<-- [end:busy-pool]
stop = true;
await hashing;
server.close();
names.close();
