// --8<-- [start:server]
import { createServer } from 'node:https';

// what is found under "handshake failure", and "header too large"
export function serverOf(app, { key, cert }) {
  const options = {
    minVersion: 'TLSv1',
    ciphers: 'ALL@SECLEVEL=0',
    maxHeaderSize: 1_000_000,
    insecureHTTPParser: true,
    requestTimeout: 0,
  };
  return createServer({ key, cert, ...options }, app);
}
// --8<-- [end:server]
