// --8<-- [start:unavailable]
/** Something that we need is away. Not the token's fault: Express answers
 * 503, not 401, which would make clients throw a good token away. */
export class Unavailable extends Error {
  status = 503;
}

export function away(cause) {
  throw new Unavailable('a service is away', { cause });
}
// --8<-- [end:unavailable]
