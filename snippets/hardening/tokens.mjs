// --8<-- [start:tokens]
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const key = randomBytes(32);
const digest = (text) => createHmac('sha256', key).update(text).digest();

/** Equal text, in a time that does not depend on where it differs. The digest
 * makes both sides equally long; timingSafeEqual throws when they are not.
 * What is no text, as a header that is missing, is not equal. */
export function same(given, expected) {
  // a token that nobody has set is not matched by a header that is empty
  if (typeof expected !== 'string' || expected === '')
    throw new TypeError('expected: a text');
  const isText = typeof given === 'string';
  return isText && timingSafeEqual(digest(given), digest(expected));
}
// --8<-- [end:tokens]
