// --8<-- [start:context]
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const request = new AsyncLocalStorage();

// the outermost layer knows the request, the innermost one logs it
const log = (text) =>
  console.log(`${request.getStore()?.id ?? 'none'}: ${text}`);
const repository = { insert: async () => log('inserted') };
const service = {
  async place() {
    await sleep(5);
    await repository.insert(); // no parameter on the way down
  },
};
const handle = (id) => request.run({ id }, () => service.place());

await handle('req-1');
await Promise.all([handle('req-2'), handle('req-3')]);
log('outside of a request');
// --8<-- [end:context]
