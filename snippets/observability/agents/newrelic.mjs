// node --import newrelic/esm-loader.mjs -r newrelic newrelic.mjs
// --8<-- [start:newrelic]
import { once } from 'node:events';
import { createServer } from 'node:http';
import newrelic from 'newrelic';
import { createApp } from '../app.mjs';

const order = { id: 'ord_1', status: 'paid', total: 799, version: 2 };
const orders = { get: async () => order };

/** In serverless mode the agent prints what it would send. */
export const handler = newrelic.setLambdaHandler(async ({ path }) => {
  const server = createServer(createApp({ orders })).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${server.address().port}`;
  try {
    const { status } = await fetch(base + path);
    return { statusCode: status };
  } finally {
    server.close();
  }
});

await handler({ path: '/orders/ord_1?q=tea' }, { functionName: 'orders' });
// --8<-- [end:newrelic]
