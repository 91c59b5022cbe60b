// node event-loop/pool-limit.mjs [STUCK]: with STUCK pool threads out of
// service, does fs.stat still finish? UV_THREADPOOL_SIZE sets the pool's size.
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import { stick } from './stuck-pool.mjs';

const server = createServer((req, res) => res.end('ok'));
await once(server.listen(0, '127.0.0.1'), 'listening');

async function request() {
  const { port } = server.address();
  const [response] = await once(get({ port, host: '127.0.0.1' }), 'response');
  await once(response.resume(), 'end');
}

// --8<-- [start:pool-limit]
const count = Number(process.argv[2] ?? 4);
const release = stick(count);

let statDone = false;
const statted = stat('.').then(() => (statDone = true));

// Meanwhile HTTP requests, one after another: sockets never visit the pool.
let answers = 0;
do {
  await request();
  answers += 1;
} while (!statDone && answers < 500);

console.log(`${count} threads stuck`);
console.log(
  statDone
    ? 'fs.stat: finished'
    : `fs.stat: still waiting after ${answers} HTTP answers`,
);
await release();
await statted;
// --8<-- [end:pool-limit]
server.close();
