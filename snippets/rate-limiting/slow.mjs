// --8<-- [start:slow]
import { createServer } from 'node:http';

/** A server that ends slow requests. All in ms; overrides in `options`.
 * @param {import('node:http').RequestListener} app
 * @param {import('node:http').ServerOptions} options */
export function serverOf(app, options = {}) {
  const limits = {
    headersTimeout: 10_000, // until the last header is there
    requestTimeout: 30_000, // until the last byte of the body is there
    connectionsCheckingInterval: 500, // how often the two are looked at
    ...options,
  };
  return createServer(limits, app);
}
// --8<-- [end:slow]
