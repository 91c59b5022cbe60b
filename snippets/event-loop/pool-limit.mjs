/* eslint-disable security/detect-non-literal-fs-filename --
   every path here is made by this program */
// node event-loop/pool-limit.mjs [BUSY]: with BUSY pool threads stuck, which
// kinds of work still finish? UV_THREADPOOL_SIZE sets the size of the pool.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, closeSync, rmSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';

const busy = Number(process.argv[2] ?? 4);
const directory = mkdtempSync(join(tmpdir(), 'pool-'));
const fifos = Array.from({ length: busy }, (_, i) => join(directory, `${i}`));
for (const fifo of fifos) execFileSync('mkfifo', [fifo]);

const server = createServer((req, res) => res.end('ok')).listen(0, '127.0.0.1');
await once(server, 'listening');

// --8<-- [start:pool-limit]
// open() of a FIFO for reading blocks its thread until somebody opens the
// other end. Nobody does: each FIFO takes one pool thread out of service.
const stuck = fifos.map((fifo) => open(fifo, 'r'));

let statDone = false;
const statted = stat(directory).then(() => (statDone = true));

// Meanwhile HTTP requests, one after another: sockets never visit the pool.
let answers = 0;
do {
  await request();
  answers += 1;
} while (!statDone && answers < 500);

console.log(`${busy} FIFOs being opened`);
console.log(statDone ? 'fs.stat: finished'
  : `fs.stat: still waiting after ${answers} HTTP answers`);
// --8<-- [end:pool-limit]

// Opening for reading and writing never blocks: it frees the stuck threads.
const writers = fifos.map((fifo) => openSync(fifo, 'r+'));
for (const handle of await Promise.all(stuck)) await handle.close();
await statted;
writers.forEach((fd) => closeSync(fd));
server.close();
rmSync(directory, { recursive: true });

async function request() {
  const { port } = server.address();
  const [response] = await once(get({ port, host: '127.0.0.1' }), 'response');
  await once(response.resume(), 'end');
}
