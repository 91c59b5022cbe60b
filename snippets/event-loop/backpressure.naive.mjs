// --8<-- [start:backpressure]
import { Writable } from 'node:stream';

const slow = new Writable({ write: (chunk, _, done) => setImmediate(done) });

let written = 0;
for (let i = 0; i < 1000; i += 1) {
  slow.write(Buffer.alloc(64 * 1024)); // returns false, and nobody looks
  written += 1;
}
console.log(`chunks written: ${written}`);
console.log(`waiting in memory: ${slow.writableLength / 1024} KiB`);
// --8<-- [end:backpressure]
