// WORKERS=2 REDIS_URL=redis://… node websockets/workers.mjs
// --8<-- [start:workers]
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { supervise } from '../clustering/respawn.mjs';
import { drainable } from '../clustering/shutdown.mjs';
import { attach } from './attach.mjs';
import { createFeed } from './feed.mjs';
import { memoryLog, redisLog } from './log.mjs';

const { PORT = '3000', WORKERS = '2', REDIS_URL: url } = process.env;

/** One worker of a public room: what somebody says, everybody hears. */
async function work() {
  const stop = new AbortController();
  const { signal } = stop;
  const log = url ? await redisLog({ url, signal }) : memoryLog();
  const feed = createFeed({ log, signal });
  const server = createServer((req, res) => res.end(`${process.pid}`));
  const drain = drainable(server);
  const sockets = attach(server, {
    path: '/room',
    origins: ['https://shop.test'],
    authenticate: (req) => ({ user: req.socket.remoteAddress }), // public
    perUser: 1000,
    onOpen: (socket, user, { searchParams }) =>
      feed.follow(socket, searchParams.get('after')),
    onMessage: (socket, data) => feed.publish(`${data}`.slice(0, 500)),
  });
  async function leave() {
    await sockets.leave(); // 1012, before HTTP: drain would wait for them
    await drain();
    stop.abort();
    cluster.worker.disconnect();
  }
  let left; // SIGTERM may come twice: from the primary, and to the group
  process.on('SIGTERM', () => (left ??= leave()));
  server.listen(Number(PORT), '127.0.0.1');
}
// --8<-- [end:workers]

// --8<-- [start:primary]
function lead() {
  const crew = supervise({ count: Number(WORKERS), port: Number(PORT) });
  process.on('SIGTERM', () => crew.stop());
  process.on('SIGHUP', () => crew.restart());
  crew.ready.then((port) =>
    console.log(`listening on http://127.0.0.1:${port}`),
  );
}

await (cluster.isPrimary ? lead() : work());
// --8<-- [end:primary]
