// DEFLATE=on node websockets/deflate.mjs: what a connection costs
import { WebSocketServer } from 'ws';

// --8<-- [start:deflate]
const { PORT = 3000, DEFLATE } = process.env;
const wss = new WebSocketServer({
  port: Number(PORT),
  host: '127.0.0.1',
  maxPayload: 64 * 1024, // after inflating, too
  perMessageDeflate: DEFLATE === 'on', // off unless asked for
});
wss.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
// --8<-- [end:deflate]

wss.on('listening', () => {
  console.log(`listening on http://127.0.0.1:${wss.address().port}`);
});
process.once('SIGTERM', () => {
  wss.close();
  wss.clients.forEach((socket) => socket.terminate());
});
