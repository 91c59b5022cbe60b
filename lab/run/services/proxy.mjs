// A reverse proxy for tests and notebooks where nginx is not installed; the
// contract is that of lab.services.proxy. No topic shows it: use nginx.
// node proxy.mjs '{"port": 20001, "upstreams": ["http://127.0.0.1:3000"], …}'
import { Agent, createServer, request } from 'node:http';
import { pipeline } from 'node:stream';

const options = JSON.parse(process.argv[2]);
const upstreams = options.upstreams.map((url) => ({
  url: new URL(url),
  busy: 0,
}));
const agent = new Agent({
  keepAlive: options.keepalive > 0,
  maxFreeSockets: options.keepalive,
});
// RFC 9110, 7.6.1: about one connection, so not passed on
const HOP_BY_HOP = new Set(
  'connection keep-alive proxy-connection te trailer transfer-encoding upgrade'.split(
    ' ',
  ),
);
let turn = 0;

/** The upstreams in the order in which this request tries them. */
function candidates(client) {
  let first = 0;
  if (options.balance === 'client-address') {
    for (const character of client) {
      first = (31 * first + character.charCodeAt(0)) % 1_000_003;
    }
  } else {
    first = turn;
    turn = (turn + 1) % upstreams.length;
  }
  const order = upstreams.map(
    (_, i) => upstreams[(first + i) % upstreams.length],
  );
  if (options.balance === 'least-connections')
    order.sort((a, b) => a.busy - b.busy);
  return order;
}

/** The client's headers, changed as the options say. */
function outgoing(req, upgrade) {
  const headers = {};
  for (const [name, values] of Object.entries(req.headersDistinct)) {
    if (!HOP_BY_HOP.has(name)) headers[name] = values;
  }
  headers.host = req.headers.host;
  const client = req.socket.remoteAddress;
  const before = req.headers['x-forwarded-for'];
  if (options.forwarded === 'overwrite' || !before) {
    if (options.forwarded !== 'pass') headers['x-forwarded-for'] = client;
  } else if (options.forwarded === 'append') {
    headers['x-forwarded-for'] = `${before}, ${client}`;
  }
  headers['x-forwarded-proto'] = 'http';
  if (req.headers['transfer-encoding'])
    headers['transfer-encoding'] = 'chunked';
  if (upgrade) {
    headers.connection = 'upgrade';
    headers.upgrade = req.headers.upgrade;
  }
  return headers;
}

function incoming(answer) {
  const raw = [];
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    if (HOP_BY_HOP.has(answer.rawHeaders[i].toLowerCase())) continue;
    raw.push(answer.rawHeaders[i], answer.rawHeaders[i + 1]);
  }
  return raw;
}

function ask(req, upstream, upgrade = false) {
  const asked = request({
    host: upstream.url.hostname,
    port: upstream.url.port,
    localAddress: options.source,
    agent,
    method: req.method,
    path: req.url,
    headers: outgoing(req, upgrade),
  });
  upstream.busy += 1;
  asked.once('close', () => (upstream.busy -= 1));
  return asked;
}

function hasBody({ headers }) {
  return 'content-length' in headers || 'transfer-encoding' in headers;
}

function forward(req, res, [upstream, ...others]) {
  const asked = ask(req, upstream);
  const again =
    options.retry && ['GET', 'HEAD'].includes(req.method) && !hasBody(req);
  asked.on('response', (answer) => {
    res.writeHead(answer.statusCode, answer.statusMessage, incoming(answer));
    res.flushHeaders();
    pipeline(answer, res, () => {}); // a cut on one side cuts the other
  });
  asked.on('error', () => {
    if (res.headersSent || res.destroyed) res.destroy();
    else if (again && others.length) forward(req, res, others);
    else res.writeHead(502).end('502 Bad Gateway');
  });
  res.once('close', () => asked.destroy()); // the client may have gone
  if (again) asked.end();
  else req.pipe(asked);
}

const server = createServer((req, res) =>
  forward(req, res, candidates(req.socket.remoteAddress)),
);

if (options.websocket) {
  server.on('upgrade', (req, client, head) => {
    const [upstream] = candidates(req.socket.remoteAddress);
    const asked = ask(req, upstream, true);
    client.on('error', () => asked.destroy());
    client.on('close', () => asked.destroy());
    asked.on('upgrade', (answer, socket, first) => {
      client.write(statusLine(answer) + lines(answer.rawHeaders) + '\r\n');
      client.write(first);
      socket.write(head);
      pipeline(socket, client, socket, () => {});
    });
    asked.on('response', (answer) => {
      const close = lines(['Connection', 'close']);
      client.write(
        statusLine(answer) + lines(incoming(answer)) + close + '\r\n',
      );
      pipeline(answer, client, () => {});
    });
    asked.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
    asked.end();
  });
}

const statusLine = (answer) =>
  `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;

function lines(raw) {
  let text = '';
  for (let i = 0; i < raw.length; i += 2)
    text += `${raw[i]}: ${raw[i + 1]}\r\n`;
  return text;
}

process.once('SIGTERM', () => process.exit(0));
server.listen(options.port, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
