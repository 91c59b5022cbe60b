// --8<-- [start:backpressure]
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

let most = 0;
const slow = new Writable({
  write(chunk, _, done) {
    most = Math.max(most, this.writableLength);
    setImmediate(done);
  },
});
function* chunks() {
  for (let i = 0; i < 1000; i += 1) yield Buffer.alloc(64 * 1024);
}

// pipeline waits for 'drain', and destroys both ends if either fails.
await pipeline(Readable.from(chunks()), slow);
console.log('chunks written: 1000');
console.log(`most that ever waited: ${most / 1024} KiB`);
// --8<-- [end:backpressure]
