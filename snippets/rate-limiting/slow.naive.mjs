// --8<-- [start:slow]
import { createServer } from 'node:http';

/** A server that gives a client a second for its headers, it thinks. */
export function serverOf(app) {
  return createServer({ headersTimeout: 1000 }, app);
}
// --8<-- [end:slow]
