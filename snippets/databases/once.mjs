// --8<-- [start:once]
import { createHash } from 'node:crypto';
import { numbers } from '../validation/numbers.mjs';
import { Failure } from './errors.mjs';
import { transaction } from './transaction.mjs';

const CLAIM = `INSERT INTO answers (customer, key, fingerprint)
  VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`;
const FIND = `SELECT fingerprint, answer FROM answers
  WHERE customer = $1 AND key = $2`;
const KEEP = `UPDATE answers SET answer = $3
  WHERE customer = $1 AND key = $2`;

const hash = (body) =>
  createHash('sha256')
    .update(JSON.stringify(body ?? null))
    .digest('hex');

// --8<-- [end:once]

// --8<-- [start:key]
/** `once({ customer, key, body }, work)` does `work({ query })` for the first
 * request with a key, and gives its answer to all. The key, the work and the
 * answer are one transaction: a crash leaves all of them, or none.
 * @param {{ db: { use: Function }, tries?: number }} deps */
export function createOnce({ db, tries = 5 }) {
  numbers({ tries });
  return async function once({ customer, key, body }, work, options = {}) {
    const right = typeof key === 'string' && /^[\w-]{1,100}$/.test(key);
    if (!right) throw new Failure(400, 'An Idempotency-Key, please.');
    const { signal } = options;
    const fingerprint = hash(body);
    const inside = async ({ query }) => {
      // a second request waits here, until the first one has ended
      const claim = await query(CLAIM, [customer, key, fingerprint]);
      if (claim.rowCount === 0) {
        const [found] = (await query(FIND, [customer, key])).rows;
        if (found?.fingerprint === fingerprint) return found.answer;
        throw new Failure(422, 'This key was for another body.');
      }
      const answer = (await work({ query })) ?? null;
      await query(KEEP, [customer, key, JSON.stringify(answer)]);
      return answer;
    };
    return transaction(db, inside, { tries, signal });
  };
}
// --8<-- [end:key]
