// The same events by four transports: node websockets/transports.mjs
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const listeners = new Set();
const events = [];

// --8<-- [start:transports]
const routes = {
  '/poll': (req, res, since) => res.end(lines(since)),

  '/long-poll': (req, res, since) => {
    if (events.length > since) return res.end(lines(since));
    const answer = () => res.end(lines(since));
    listeners.add(answer);
    return res.once('close', () => listeners.delete(answer));
  },

  '/sse': (req, res) => {
    res
      .writeHead(200, { 'Content-Type': 'text/event-stream' })
      .flushHeaders();
    const push = (event) => res.write(`data: ${event}\n\n`);
    listeners.add(push);
    res.once('close', () => listeners.delete(push));
  },
};

const wss = new WebSocketServer({ noServer: true });
wss.on('connection', (socket) => {
  const push = (event) => socket.send(event);
  listeners.add(push);
  socket.on('error', () => {});
  socket.once('close', () => listeners.delete(push));
});
// --8<-- [end:transports]

const lines = (since) => events.slice(since).join('\n');

// µs of a clock that all processes of the machine share
function emit() {
  const at = process.hrtime.bigint() / 1000n;
  const event = JSON.stringify({ seq: events.length, at: `${at}` });
  events.push(event);
  for (const push of [...listeners]) push(event);
  next = setTimeout(emit, 30 + 40 * Math.random());
}
let next = setTimeout(emit, 50);

const server = createServer((req, res) => {
  const { pathname, searchParams } = new URL(req.url, 'http://internal');
  const route = Object.hasOwn(routes, pathname) && routes[pathname];
  if (!route) return res.writeHead(404).end();
  res.sendDate = false; // no byte that says nothing
  return route(req, res, Number(searchParams.get('since') ?? 0));
});
server.on('upgrade', (req, socket, head) => {
  wss.handleUpgrade(req, socket, head, (ws) => wss.emit('connection', ws));
});
server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => {
  clearTimeout(next);
  server.close();
  server.closeAllConnections();
  wss.clients.forEach((socket) => socket.terminate());
});
