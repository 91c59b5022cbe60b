// node clustering/reuse-port.mjs [PROCESSES]: no primary, the kernel deals
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createApp } from './shop.mjs';

// --8<-- [start:reuse]
/** Several processes may call this with one port: the kernel gives each of
 * them a queue, and chooses by a hash of the client's address and port. */
export function listen(port) {
  const server = createServer(createApp());
  return server.listen({ port, host: '127.0.0.1', reusePort: true });
}
// --8<-- [end:reuse]

process.once('SIGTERM', () => process.exit(0));
const server = listen(Number(process.env.PORT));
await once(server, 'listening');
const { port } = server.address();
if (process.send) {
  process.send('listening');
} else {
  const env = { ...process.env, PORT: port };
  const [others = 1] = process.argv.slice(2);
  for (let i = 0; i < others; i += 1) {
    await once(fork(process.argv[1], { env }), 'message');
  }
  console.log(`listening on http://127.0.0.1:${port}`);
}
