// --8<-- [start:transfer]
import { MessageChannel } from 'node:worker_threads';
import { once } from 'node:events';

const { port1, port2 } = new MessageChannel();

async function send(value, transfer = []) {
  port1.postMessage(value, transfer);
  const [received] = await once(port2, 'message');
  return received;
}

const copied = new ArrayBuffer(1024);
await send(copied);
console.log(`copied: the sender still has ${copied.byteLength} bytes`);

const moved = new ArrayBuffer(1024);
await send(moved, [moved]);
console.log(`transferred: the sender has ${moved.byteLength} bytes`);

const shared = new SharedArrayBuffer(4);
const there = await send(shared);
Atomics.add(new Int32Array(there), 0, 7);
console.log(`shared: the sender sees ${new Int32Array(shared)[0]}`);
port1.close();
// --8<-- [end:transfer]
