// --8<-- [start:passwords]
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { Problem } from '../rest-apis/problem.mjs';
import { numbers } from '../validation/numbers.mjs';

const derive = promisify(scrypt);
const FORM = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w-]+)\$([\w-]{43})$/;

/** Parameters stand beside each hash, so they can grow. `ln` is log2(N); a
 * hash takes 128 * r * 2^ln bytes and a thread of the pool. */
export function passwordsOf({ ln = 17, r = 8, p = 1, atOnce = 2 } = {}) {
  numbers({ ln, r, p, atOnce });
  const kind = `$scrypt$ln=${ln},r=${r},p=${p}`;
  let hashing = 0;
  async function hashed(text, salt, cost) {
    if (hashing >= atOnce)
      throw new Problem(503, 'Busy.', { headers: { 'Retry-After': '1' } });
    const options = { ...cost, maxmem: 256 * cost.N * cost.r };
    const bytes = Buffer.from(salt, 'base64url');
    const made = derive(text.normalize('NFC'), bytes, 32, options);
    hashing += 1; // after what may throw
    return made.finally(() => (hashing -= 1));
  }
  async function hash(text) {
    const salt = randomBytes(16).toString('base64url');
    const made = await hashed(text, salt, { N: 2 ** ln, r, p });
    return `${kind}$${salt}$${made.toString('base64url')}`;
  }
  /** `{ right, stale }`. An unknown user (null) costs as much as others. */
  async function check(text, stored) {
    const found = FORM.exec(stored ?? `${kind}$AAAA$${'A'.repeat(43)}`);
    if (!found) throw new Error('not a hash of ours');
    const [l, rr, pp] = found.slice(1, 4).map(Number);
    const given = await hashed(text, found[4], { N: 2 ** l, r: rr, p: pp });
    const kept = Buffer.from(found[5], 'base64url');
    const right = timingSafeEqual(given, kept) && stored != null;
    return { right, stale: right && (l !== ln || rr !== r || pp !== p) };
  }
  return { hash, check };
}
// --8<-- [end:passwords]
