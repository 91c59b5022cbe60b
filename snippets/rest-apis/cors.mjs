// --8<-- [start:cors]
import cors from 'cors';
import { isOrigin } from '../validation/rules.mjs';

/** `origins`: who may read answers in a browser, e.g. ['https://shop.test'].
 * Compared as a whole: no pattern, no suffix, never "null". To stand above
 * whatever may refuse: an answer without it is "Failed to fetch".
 * @param {string[]} origins */
export function crossOrigin(origins) {
  const wrong = origins.find((one) => !isOrigin(one));
  if (wrong !== undefined) throw new TypeError(`${wrong} is not an origin`);
  return cors({
    origin: origins.length ? origins : false,
    credentials: true,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders: [
      ...['Authorization', 'Content-Type', 'Idempotency-Key'],
      ...['If-Match', 'If-None-Match'],
    ],
    exposedHeaders: [
      ...['ETag', 'Location', 'Retry-After'],
      ...['RateLimit', 'RateLimit-Policy'],
    ],
    maxAge: 600, // seconds without another preflight
  });
}
// --8<-- [end:cors]
