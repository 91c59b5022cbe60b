// --8<-- [start:passwords]
import { scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { numbers } from '../validation/numbers.mjs';

const scryptAsync = promisify(scrypt);
const NOBODY = { salt: Buffer.alloc(16), hash: Buffer.alloc(32) };

/** Gives `check(account, password)`: true, false, or null while `atOnce`
 * hashes are being made; each takes 128 MiB and a thread of the pool. Who is
 * unknown costs a hash like everybody else, so that time tells nothing.
 * @param {{ users: Map<string, any>, N?: number, atOnce?: number }} deps */
export function passwordsOf({ users, N = 2 ** 17, atOnce = 2 }) {
  numbers({ N, atOnce });
  const options = { N, r: 8, p: 1, maxmem: 256 * N * 8 };
  let hashing = 0;
  return async function check(account, password) {
    if (hashing >= atOnce) return null;
    hashing += 1;
    try {
      const { salt, hash } = users.get(account) ?? NOBODY;
      const given = await scryptAsync(password, salt, 32, options);
      return timingSafeEqual(given, hash);
    } finally {
      hashing -= 1;
    }
  };
}
// --8<-- [end:passwords]
