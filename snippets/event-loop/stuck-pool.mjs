/* eslint-disable security/detect-non-literal-fs-filename --
   every path here is made by this program */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// --8<-- [start:stick]
/** Takes `count` threads of libuv's pool out of service until `release`. */
export function stick(count) {
  const directory = mkdtempSync(join(tmpdir(), 'pool-'));
  const names = Array.from({ length: count }, (_, i) => `${i}`);
  const fifos = names.map((name) => join(directory, name));
  for (const fifo of fifos) execFileSync('mkfifo', [fifo]);

  // open() of a FIFO for reading blocks its thread until somebody opens
  // the other end. Nobody does, until `release`.
  const stuck = fifos.map((fifo) => open(fifo, 'r'));

  return async function release() {
    // Opening for reading and writing never blocks: it can be done here.
    const writers = fifos.map((fifo) => openSync(fifo, 'r+'));
    for (const handle of await Promise.all(stuck)) await handle.close();
    writers.forEach((fd) => closeSync(fd));
    rmSync(directory, { recursive: true });
  };
}
// --8<-- [end:stick]
