// --8<-- [start:context]
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as query } from 'node:timers/promises';

const request = new AsyncLocalStorage();

// no request passed in: it comes along by itself
function log(message) {
  console.log(`[${request.getStore() ?? 'no request'}] ${message}`);
}

async function handle(milliseconds) {
  log('started');
  await query(milliseconds);
  log('done');
}

await Promise.all([
  request.run('request 1', () => handle(60)),
  request.run('request 2', () => handle(5)),
]);
log('outside');
// --8<-- [end:context]
