// --8<-- [start:transfer]
import { numbers } from '../validation/numbers.mjs';
import { Failure } from './errors.mjs';
import { transaction } from './transaction.mjs';

const LOCK = `SELECT id, cents FROM accounts WHERE id = ANY($1)
  ORDER BY id FOR UPDATE`;
const ADD = 'UPDATE accounts SET cents = cents + $2 WHERE id = $1';

/** `transfer({ from, to, cents })` locks both accounts in the order of their
 * ids, whoever pays: two that meet wait for each other's end, not for ever.
 * @param {{ db: { use: Function }, tries?: number }} deps */
export function createTransfer({ db, tries = 5, retried }) {
  numbers({ tries });
  return async function transfer({ from, to, cents }, { signal } = {}) {
    const right = Number.isSafeInteger(cents) && cents > 0 && from !== to;
    if (!right) throw new Failure(422, 'Two accounts, and cents above 0.');
    const work = async ({ query }) => {
      const { rows } = await query(LOCK, [[from, to]]);
      if (rows.length < 2) throw new Failure(404, 'No such account.');
      const payer = rows.find(({ id }) => id === from);
      if (payer.cents < cents) throw new Failure(409, 'Not covered.');
      await query(ADD, [from, -cents]);
      await query(ADD, [to, cents]);
    };
    return transaction(db, work, { tries, signal, retried });
  };
}
// --8<-- [end:transfer]
