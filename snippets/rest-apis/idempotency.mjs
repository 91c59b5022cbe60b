// --8<-- [start:once]
import { createHash } from 'node:crypto';
import { Problem } from './problem.mjs';

/** What makes a POST the same POST: the client's key, and a hash of what it
 * asked for. The store keeps both, with the order, for the customer. Hashed
 * is what was parsed: JSON of just any body recurses as deep as it is. */
export function onceOf(req, content) {
  const key = req.get('Idempotency-Key');
  if (!key || !/^[\w"-]{1,100}$/.test(key)) {
    throw new Problem(400, 'Idempotency-Key: 1 to 100 letters or digits.');
  }
  const text = JSON.stringify(content); // neither blanks nor order matter
  const request = createHash('sha256').update(text).digest('base64url');
  return { key, request };
}
// --8<-- [end:once]
