import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

// --8<-- [start:presence]
// TCP asks silent peers every second whether they are there
const options = { keepAlive: true, keepAliveInitialDelay: 1000 };
const server = createServer(options, (req, res) => {
  res.end(`${wss.clients.size}`); // who is online
});
const wss = new WebSocketServer({ server });
wss.on('connection', (socket) => socket.on('error', console.error));
// --8<-- [end:presence]

server.listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => {
  server.close();
  wss.clients.forEach((socket) => socket.terminate());
});
