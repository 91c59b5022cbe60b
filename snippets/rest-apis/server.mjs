// DATABASE=orders.db USERS='{"<hash of a key>":"ann"}' node server.mjs
// --8<-- [start:server]
import { createServer } from 'node:http';
import { createShutdown } from '../resilience/shutdown.mjs';
import { bearer } from './auth.mjs';
import { createApp } from './orders.mjs';
import { createStore } from './store.mjs';

const { DATABASE = ':memory:', USERS = '{}' } = process.env;
const store = createStore(DATABASE);
const authenticate = bearer(new Map(Object.entries(JSON.parse(USERS))));

// longer than the balancer keeps an idle connection (60 s is usual), so that
// it is never this side that closes one while a request is on its way
const options = { keepAliveTimeout: whole('KEEP_ALIVE_MS', '75000') };
const server = createServer(options);
// /ready says no, the balancer hears of it, each connection is told
const beforeMs = whole('DRAIN_MS', '5000');
const { leaving, last, listen } = createShutdown({ server, beforeMs });
last('store', () => store.close()); // when the last answer is out
listen();

server.on('request', createApp({ store, authenticate, leaving }));
server.listen(whole('PORT', '3000'), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

/** Of the environment, where '' is not 0 and `5s` is an error at start. */
function whole(name, otherwise) {
  const text = process.env[name] ?? otherwise;
  if (!/^\d{1,7}$/.test(text)) throw new Error(`${name}: a whole number`);
  return Number(text);
}
// --8<-- [end:server]
