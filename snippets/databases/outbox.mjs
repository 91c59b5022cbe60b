// --8<-- [start:outbox]
import { WAIT, numbers } from '../validation/numbers.mjs';
import { withEnd } from './end.mjs';
import { transaction } from './transaction.mjs';

const TAKE = `SELECT id, event FROM outbox
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`;

/** `add(tx, event)` in the transaction that the event is about; `relay()`
 * publishes what is there and takes it away. No position is remembered: ids
 * are given out before COMMIT, so a lower one may come later.
 * @param {{ db: { use: Function }, publish: Function, most?: number,
 *   mostMs?: number }} deps mostMs: below the pool's idleMs */
export function createOutbox({ db, publish, most = 100, mostMs = 5_000 }) {
  numbers({ most });
  numbers({ mostMs }, { least: 1, most: WAIT.most });

  const add = (tx, event) =>
    tx.query('INSERT INTO outbox (event) VALUES ($1)', [
      JSON.stringify(event),
    ]);

  // --8<-- [end:outbox]

  // --8<-- [start:relay]
  /** How many were published. One that fails stays, and those after it. */
  function relay({ signal } = {}) {
    const late = AbortSignal.timeout(mostMs);
    const ended = signal ? AbortSignal.any([signal, late]) : late;
    const inside = async ({ query }) => {
      const { rows } = await query(TAKE, [most]);
      const done = [];
      let failed;
      for (const { id, event } of rows) {
        const act = () => publish({ id, event }, { signal: ended });
        failed = await failure(act, ended);
        if (failed) break;
        done.push(id);
      }
      await query('DELETE FROM outbox WHERE id = ANY($1)', [done]);
      return { published: done.length, failed };
    };
    return transaction(db, inside, { tries: 1, signal });
  }
  return { add, relay };
}
// --8<-- [end:relay]

/** The error that `act` ended with, or the signal before it; else nothing. */
async function failure(act, signal) {
  try {
    signal.throwIfAborted();
    await withEnd(act(), signal);
    return undefined;
  } catch (error) {
    return error ?? new Error('rejected with nothing');
  }
}
