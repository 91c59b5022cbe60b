// --8<-- [start:smuggling]
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { PAYLOADS } from './smuggled.mjs';

/** Which requests a parser finds in some bytes, and its last answer. */
export async function found(raw, options = {}) {
  const urls = [];
  const server = createServer(options, (req, res) => {
    urls.push(req.url);
    req.on('error', () => {}).resume();
    req.on('end', () => res.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect(server.address().port, '127.0.0.1');
  let answers = '';
  socket.setEncoding('latin1').on('data', (text) => (answers += text));
  socket.on('error', () => {}).end(raw, 'latin1');
  // `once` would reject when the parser has reset the connection
  await new Promise((done) => socket.on('close', done));
  server.close();
  const statusLines = answers.matchAll(/HTTP\/1\.1 (\d{3})/g);
  const codes = Array.from(statusLines, ([, code]) => code);
  return { urls, code: codes.at(-1) ?? 'none' };
}

export async function matrix() {
  const rows = [];
  for (const [name, raw] of Object.entries(PAYLOADS)) {
    const strict = await found(raw);
    const lenient = await found(raw, { insecureHTTPParser: true });
    rows.push({ name, strict, lenient });
  }
  return rows;
}
// --8<-- [end:smuggling]
