import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { numbers } from '../validation/numbers.mjs';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

// --8<-- [start:stdout]
/** A log's way out: a line is with the kernel when `write` returns. One that
 * is not taken (the disk is full, the reader gone or, if the pipe doesn't
 * block, slow for `patienceMs`) is no error: it is counted in `lost`. */
export function createOutput({ fd = 1, patienceMs = 1000 } = {}) {
  numbers({ fd, patienceMs }, { least: 0 });
  let patience = patienceMs; // none again before a line got through
  let torn = false; // half of a line is out

  function put(rest) {
    const end = performance.now() + patience;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(fd, rest));
        torn = rest.length > 0;
      } catch (error) {
        const slow = error.code === 'EAGAIN' && performance.now() < end;
        if (!slow) throw error;
        Atomics.wait(sleeper, 0, 0, 5); // as Pino's does, without an end
      }
    }
  }
  const output = new Writable({
    write(line, encoding, done) {
      try {
        if (torn) put(Buffer.from('\n')); // or it spoils the next one, too
        put(line);
        patience = patienceMs;
      } catch {
        patience = 0;
        output.lost += 1;
      }
      done();
    },
  });
  return Object.assign(output, { lost: 0 });
}

export const stdout = createOutput(); // its count is of all loggers
// --8<-- [end:stdout]
