import { createServer } from 'node:http';
import { attach } from './attach.mjs';

// --8<-- [start:presence]
const server = createServer((req, res) => {
  res.end(`${sockets.clients.size}`); // who is online
});
const sockets = attach(server, {
  path: '/',
  origins: ['https://shop.test'],
  authenticate: () => ({ user: 'visitor' }),
  perUser: 10_000,
  heartbeatMs: Number(process.env.HEARTBEAT_MS ?? 30_000),
});
// --8<-- [end:presence]

server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => {
  server.close();
  sockets.leave({ patienceMs: 100 });
});
