// DATABASE=orders.db USERS='{"<hash of a key>":"ann"}' node server.mjs
// --8<-- [start:server]
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { drainable } from '../clustering/shutdown.mjs';
import { bearer } from './auth.mjs';
import { createApp } from './orders.mjs';
import { createStore } from './store.mjs';

const { PORT = '3000', DATABASE = ':memory:', USERS = '{}' } = process.env;
const { KEEP_ALIVE_MS = '75000', DRAIN_MS = '5000' } = process.env;
const stop = new AbortController();
const store = createStore(DATABASE);
const authenticate = bearer(new Map(Object.entries(JSON.parse(USERS))));
const app = createApp({ store, authenticate, signal: stop.signal });

// longer than the balancer keeps an idle connection (60 s is usual), so that
// it is never this side that closes one while a request is on its way
const options = { keepAliveTimeout: Number(KEEP_ALIVE_MS) };
const server = createServer(options, app);
const drain = drainable(server);
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  stop.abort(); // 1. /ready says no; everything else is still served
  await sleep(Number(DRAIN_MS)); // 2. until the balancer has heard of it
  await drain(); // 3. each connection is told, then closed
  store.close(); // 4. when the last answer is out
});
// --8<-- [end:server]
