// --8<-- [start:unavailable]
import { Problem } from '../rest-apis/problem.mjs';

/** Something that we need is away. Not the token's fault: the answer is 503,
 * not 401, which would make clients throw a good token away. */
export class Unavailable extends Problem {
  constructor(message, { cause } = {}) {
    super(503, message, { headers: { 'Retry-After': '5' }, cause });
  }
}

export function away(cause) {
  throw new Unavailable('a service is away', { cause });
}
// --8<-- [end:unavailable]
