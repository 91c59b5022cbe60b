import { createServer } from 'node:http';
import { attach } from './attach.mjs';

const port = Number(process.env.PORT ?? 3000);
// --8<-- [start:echo]
const server = createServer((req, res) => res.writeHead(426).end());
const sockets = attach(server, {
  path: '/',
  origins: ['https://shop.test'],
  authenticate: () => ({ user: 'anybody' }), // an echo has no secrets
  perUser: 1000,
  perSecond: 200,
  burst: 400,
  onMessage: (socket, data, isBinary) => {
    sockets.send(socket, data, { binary: isBinary });
  },
});

server.listen(port, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => {
  server.close(); // no new ones; it would wait for the open ones for ever
  sockets.leave();
});
// --8<-- [end:echo]
