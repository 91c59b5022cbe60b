// DATABASE=orders.db USERS='{"<hash of a key>":"ann"}' node server.mjs
// --8<-- [start:server]
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { drainable } from '../clustering/shutdown.mjs';
import { bearer } from './auth.mjs';
import { createApp } from './orders.mjs';
import { createStore } from './store.mjs';

const { DATABASE = ':memory:', USERS = '{}' } = process.env;
const drainMs = whole('DRAIN_MS', '5000');
const leaving = new AbortController();
const store = createStore(DATABASE);
const authenticate = bearer(new Map(Object.entries(JSON.parse(USERS))));
const app = createApp({ store, authenticate, leaving: leaving.signal });

// longer than the balancer keeps an idle connection (60 s is usual), so that
// it is never this side that closes one while a request is on its way
const options = { keepAliveTimeout: whole('KEEP_ALIVE_MS', '75000') };
const server = createServer(options, app);
const drain = drainable(server);
server.listen(whole('PORT', '3000'), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});

async function leave() {
  leaving.abort(); // 1. /ready says no; everything else is still served
  await sleep(drainMs); // 2. until the balancer has heard of it
  await drain() // 3. each connection is told, then closed
    .finally(() => store.close()); // 4. when the last answer is out
}
let left; // SIGTERM may come twice: from npm, and to the group
process.on('SIGTERM', () => (left ??= leave()));

/** Of the environment, where '' is not 0 and `5s` is an error at start. */
function whole(name, otherwise) {
  const text = process.env[name] ?? otherwise;
  if (!/^\d{1,7}$/.test(text)) throw new Error(`${name}: a whole number`);
  return Number(text);
}
// --8<-- [end:server]
