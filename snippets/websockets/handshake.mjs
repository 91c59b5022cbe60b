// What goes over the wire, byte by byte: node websockets/handshake.mjs
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { WebSocketServer } from 'ws';

const wss = new WebSocketServer({ port: 0, host: '127.0.0.1' });
wss.on('connection', (socket) => {
  socket.on('message', (data) => socket.send(data, { binary: false }));
});
await once(wss, 'listening');

// --8<-- [start:handshake]
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455 says so
const key = 'dGhlIHNhbXBsZSBub25jZQ=='; // 16 random bytes, usually
const request = [
  'GET / HTTP/1.1',
  'Host: 127.0.0.1',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${key}`,
];
const socket = connect(wss.address().port, '127.0.0.1');
socket.write(`${request.join('\r\n')}\r\n\r\n`);
const [answer] = await once(socket, 'data');
console.log(`${answer}`.trim().replaceAll('\r', ''));
const accept = createHash('sha1')
  .update(key + GUID)
  .digest('base64');
console.log('we expected', accept);
// --8<-- [end:handshake]

// --8<-- [start:frame]
/** FIN and opcode, MASK and length, the mask, the payload under it. */
function frame(opcode, payload, mask) {
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]);
  const head = [0x80 | opcode, 0x80 | payload.length]; // up to 125 bytes
  return Buffer.from([...head, ...mask, ...masked]);
}
const mask = [0x37, 0xfa, 0x21, 0x3d];
const sent = frame(0x1, Buffer.from('Hello'), mask);
console.log('sent    ', sent.toString('hex'));
socket.write(sent);
const [received] = await once(socket, 'data');
console.log('received', received.toString('hex'));
// --8<-- [end:frame]
socket.end();
wss.close();
