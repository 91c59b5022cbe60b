import { WebSocketServer } from 'ws';

const port = Number(process.env.PORT ?? 3000);
const wss = new WebSocketServer({ port, host: '127.0.0.1' });

wss.on('connection', (socket) => {
  socket.on('message', (message) => socket.send(`${message}`));
});

wss.on('listening', () => {
  console.log(`listening on http://127.0.0.1:${wss.address().port}`);
});
process.once('SIGTERM', () => process.exit(0));
