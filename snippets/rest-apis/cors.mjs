// --8<-- [start:cors]
import cors from 'cors';

/** `origins`: who may read answers in a browser, e.g. ['https://shop.test'].
 * Compared as a whole: no pattern, no suffix, never "null". */
export function crossOrigin(origins) {
  return cors({
    origin: origins.length ? origins : false,
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      'Authorization',
      'Content-Type',
      'Idempotency-Key',
      'If-Match',
    ],
    exposedHeaders: ['ETag', 'Location', 'Retry-After'],
    maxAge: 600, // seconds without another preflight
  });
}
// --8<-- [end:cors]
