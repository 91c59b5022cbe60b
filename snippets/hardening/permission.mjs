/* eslint-disable security/detect-non-literal-fs-filename --
   what may be opened is what it asks */
// --8<-- [start:permission]
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';

/** What this process may do; `place` is a folder made for it. */
export async function probe({ place, port, address = '127.0.0.1' }) {
  const attempts = {
    'read a file': async () => readFileSync(`${place}/outside/secret`),
    'write a file': async () => writeFileSync(`${place}/outside/new`, 'x'),
    'start a program': async () => execFileSync('true'),
    'start a worker': async () => new Worker('', { eval: true }).terminate(),
    'read /proc/self/environ': async () => readFileSync('/proc/self/environ'),
    'read through a link inside': async () =>
      readFileSync(`${place}/inside/link`),
    'read an open descriptor': async () => readSync(3, Buffer.alloc(9)),
    'read process.env': async () => process.env.CANARY.length,
    'signal another process': async () => process.kill(process.ppid, 0),
    'connect to another host': async () => {
      const socket = connect(port, address);
      await once(socket, 'connect').finally(() => socket.destroy());
    },
  };
  const may = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    may[name] = await attempt().then(
      () => 'yes',
      (error) => error.code,
    );
  }
  return may;
}
// --8<-- [end:permission]

const [place, port] = process.argv.slice(2);
console.log(JSON.stringify(await probe({ place, port: Number(port) })));
