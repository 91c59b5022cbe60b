// --8<-- [start:passwords]
import { scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

const scryptAsync = promisify(scrypt);
const NOBODY = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

/** Gives `check(account, password)`. Who is unknown costs a hash like
 * everybody else, so that the time of the answer tells nothing. */
export function passwordsOf({ users, N = 2 ** 17 }) {
  const options = { N, r: 8, p: 1, maxmem: 256 * N * 8 };
  return async function check(account, password) {
    const { salt, hash } = users.get(account) ?? NOBODY;
    return timingSafeEqual(
      await scryptAsync(password, salt, 32, options),
      hash,
    );
  };
}
// --8<-- [end:passwords]
