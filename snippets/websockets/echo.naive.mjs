import { WebSocketServer } from 'ws';

const port = process.env.PORT ?? 3000;
// --8<-- [start:echo]
const wss = new WebSocketServer({ port, host: '127.0.0.1' });

wss.on('connection', (socket) => {
  socket.on('message', (message) => socket.send(`${message}`));
});
// --8<-- [end:echo]

wss.on('listening', () => {
  console.log(`listening on http://127.0.0.1:${wss.address().port}`);
});
process.once('SIGTERM', () => {
  wss.close();
  wss.clients.forEach((socket) => socket.terminate());
});
