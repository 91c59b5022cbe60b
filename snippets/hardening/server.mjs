// --8<-- [start:server]
import { createServer } from 'node:https';

/** HTTPS where no proxy ends TLS. What Node does by itself is not repeated;
 * times in ms. `server.setSecureContext()` takes the renewed certificate. */
export function serverOf(app, { key, cert, ...overrides }) {
  const limits = {
    minVersion: 'TLSv1.2', // the default, unless an option or flag says else
    maxHeaderSize: 8192,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    connectionsCheckingInterval: 1000, // how often both are looked at
    keepAliveTimeout: 5000,
    ...overrides,
  };
  const server = createServer({ key, cert, ...limits }, app);
  server.maxRequestsPerSocket = 1000;
  server.maxConnections = 10_000; // fewer than the process may have files
  return server;
}
// --8<-- [end:server]
