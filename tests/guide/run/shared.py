"""What the tests of services share."""

import socket

ECHO = """
import { createServer } from 'node:http';
const [name = 'one'] = process.argv.slice(2);
const held = []; // answers to /slow, until somebody asks for /release
const server = createServer((req, res) => {
  let body = '';
  req.on('data', (chunk) => (body += chunk));
  req.on('end', () => {
    const { remoteAddress, remotePort } = req.socket;
    if (req.url === '/dies') process.exit(0);
    const { method, url, headers } = req;
    res.setHeader('Set-Cookie', ['a=1', 'b=2']);
    const who = { name, remoteAddress, remotePort, held: held.length };
    const v = req.httpVersion;
    const answer = () => res.end(JSON.stringify({ ...who, v, method, url, headers, body }));
    if (req.url === '/slow') return held.push(answer);
    if (req.url === '/release') held.forEach((release) => release());
    return answer();
  });
});
server.on('upgrade', (req, socket, head) => {
  if (req.url === '/no') {
    return socket.end('HTTP/1.1 403 Forbidden\\r\\nContent-Length: 2\\r\\n\\r\\nno');
  }
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\n'
    + `Upgrade: ${req.headers.upgrade}\\r\\nConnection: Upgrade\\r\\n\\r\\nhello,`);
  socket.write(head);
  return socket.pipe(socket);
});
process.once('SIGTERM', () => process.exit(0));
server.listen(Number(process.env.PORT), '127.0.0.1', () =>
  console.log(`listening on http://127.0.0.1:${server.address().port}`));
"""


def read_until(client: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += (more := client.recv(65536))
        assert more, data
    return data
