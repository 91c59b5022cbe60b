import { WebSocketServer } from 'ws';

const port = Number(process.env.PORT ?? 3000);
const wss = new WebSocketServer({
  port,
  host: '127.0.0.1',
  maxPayload: 64 * 1024, // more is 1009
});

wss.on('connection', (socket) => {
  // Without a listener an error is thrown, and the process is gone. ws itself
  // sends the close code and ends the connection.
  socket.on('error', ({ code }) => console.error(code));
  let tokens = 100;
  let filled = performance.now();
  socket.on('message', (message, isBinary) => {
    if (socket.readyState !== socket.OPEN) return; // told to go already
    const now = performance.now();
    tokens = Math.min(100, tokens + (now - filled) / 20); // 50 a second
    filled = now;
    if (tokens < 1) {
      socket.close(1008, 'too many messages');
      return;
    }
    tokens -= 1;
    socket.send(message, { binary: isBinary });
  });
});

wss.on('listening', () => {
  console.log(`listening on http://127.0.0.1:${wss.address().port}`);
});
process.once('SIGTERM', () => {
  wss.close(); // no new ones; waits until the last is gone
  for (const socket of wss.clients) socket.close(1012);
  const late = setTimeout(() => {
    for (const socket of wss.clients) socket.terminate();
  }, 1000);
  wss.once('close', () => clearTimeout(late));
});
