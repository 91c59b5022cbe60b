// What changed between Express 4 and 5, asked of both over HTTP.
import express5 from 'express';
import express4 from 'express4';
import { once } from 'node:events';

process.on('unhandledRejection', () => {}); // else Express 4 would end here
process.on('deprecation', () => {}); // what Express 4 says on its last day

// --8<-- [start:routes]
const routes = {
  '/rejects': async () => {
    throw new Error('out of stock');
  },
  '/query': (req, res) => res.json(req.query),
  '/body': (req, res) => res.send(String(req.body)), // json(), and no body
  '/assign': (req, res) => {
    req.query = { sku: 'tea' };
    res.json(req.query);
  },
  '/back': (req, res) => res.redirect('back'),
};
const patterns = {
  '/files/*': '/files/a/b',
  '/files/*splat': '/files/a/b',
  '/reports/:year?': '/reports',
  '/reports{/:year}': '/reports',
};
// --8<-- [end:routes]

async function ask(app, path, headers = {}) {
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}${path}`;
  const signal = AbortSignal.timeout(1500);
  const options = { headers, signal, redirect: 'manual' };
  try {
    const answer = await fetch(url, options);
    const text = await answer.text();
    return (
      answer.headers.get('location') ?? (answer.ok ? text : answer.status)
    );
  } catch {
    return 'no answer';
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function match(express, pattern, path) {
  const app = express();
  try {
    app.get(pattern, (req, res) => res.json(req.params));
  } catch {
    return 'throws at start';
  }
  return ask(app, path);
}

// --8<-- [start:ask]
async function asked(express) {
  const app = express();
  app.use(express.json());
  for (const [path, handler] of Object.entries(routes))
    app.get(path, handler);
  app.use((error, req, res, next) => res.sendStatus(500));
  const found = {
    'async handler rejects': await ask(app, '/rejects'),
    '?total[$ne]=1': await ask(app, '/query?total[$ne]=1'),
    'req.body without body': await ask(app, '/body'),
    'req.query = {…}': await ask(app, '/assign'),
    "redirect('back')": await ask(app, '/back', { referer: '/basket' }),
  };
  for (const [pattern, path] of Object.entries(patterns)) {
    found[pattern] = await match(express, pattern, path);
  }
  found['app.del()'] = typeof app.del;
  found['req.param()'] = typeof app.request.param;
  return found;
}
// --8<-- [end:ask]

const [four, five] = [await asked(express4), await asked(express5)];
for (const [what, answer] of Object.entries(four)) {
  console.log(
    `${what.padEnd(22)} ${String(answer).padEnd(24)} ${five[what]}`,
  );
}
