// --8<-- [start:server]
import { createServer } from 'node:https';

// Node's list also has CBC, and for RSA keys suites without forward secrecy
const ciphers =
  'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:' +
  'TLS_AES_128_GCM_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20';

/** HTTPS where no proxy ends TLS. What Node does by itself is not repeated;
 * times in ms. `server.setSecureContext()` takes the renewed certificate.
 * A balancer that encrypts anew wants a longer `keepAliveTimeout`. */
export function serverOf(app, { key, cert, ...overrides }) {
  const limits = {
    ciphers,
    minVersion: 'TLSv1.2', // the default, unless an option or flag says else
    handshakeTimeout: 10_000, // the others begin after it; Node has 120 s
    maxHeaderSize: 8192,
    headersTimeout: 10_000,
    requestTimeout: 30_000,
    connectionsCheckingInterval: 1000, // how often both are looked at
    ...overrides,
  };
  const server = createServer({ key, cert, ...limits }, app);
  server.timeout = 60_000; // no byte for so long: a handler that hangs, too
  server.maxRequestsPerSocket = 1000;
  server.maxConnections = 10_000; // fewer than the process may have files
  return server;
}
// --8<-- [end:server]
