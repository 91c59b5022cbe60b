// --8<-- [start:transaction]
import { setTimeout as sleep } from 'node:timers/promises';
import { numbers } from '../validation/numbers.mjs';
import { OutcomeUnknown, isLost } from './errors.mjs';

const LEVELS = ['read committed', 'repeatable read', 'serializable'];
// PostgreSQL undid it all, because it met another one
const AGAIN = new Set(['40001', '40P01']);

/** Runs `work({ query })` in a transaction on one connection. What PostgreSQL
 * has undone begins again, so `work` must do nothing but queries.
 * @param {{ use: Function }} db as from createPool
 * @param {(tx: { query: Function }) => Promise<any>} work */
export async function transaction(db, work, options = {}) {
  const { isolation = 'read committed', tries = 5, signal } = options;
  const { retried = () => {} } = options;
  numbers({ tries });
  if (!LEVELS.includes(isolation)) throw new TypeError(`one of ${LEVELS}`);
  for (let attempt = 1; ; attempt += 1) {
    const state = { committing: false };
    try {
      return await once(db, work, { isolation, signal, state });
    } catch (error) {
      const unknown = state.committing && !isRefusal(error);
      if (unknown) throw new OutcomeUnknown(error);
      // lost before COMMIT was sent: nothing of it was done
      const again = AGAIN.has(error?.code) || isLost(error);
      if (!again || attempt >= tries || signal?.aborted) throw error;
      await tell(retried, error);
    }
    await sleep(Math.random() * 5 * 2 ** attempt, undefined, { signal });
  }
}

// --8<-- [end:transaction]

/** A counter that fails is no reason to fail. */
async function tell(callback, error) {
  try {
    await callback(error);
  } catch {
    // as said
  }
}

/** PostgreSQL itself says that it committed nothing. */
const isRefusal = (error) =>
  error?.rolledBack === true ||
  (/^[0-9A-Z]{5}$/.test(error?.code) && !isLost(error));

// --8<-- [start:once]
function once(db, work, { isolation, signal, state }) {
  const inside = async ({ query }) => {
    await query(`BEGIN ISOLATION LEVEL ${isolation}`);
    try {
      const result = await work({ query });
      state.committing = true;
      const { command } = await query('COMMIT');
      // the answer when `work` went on after a query that had failed
      if (command === 'COMMIT') return result;
      const error = new Error('rolled back: a query of it had failed');
      throw Object.assign(error, { rolledBack: true });
    } catch (error) {
      // it may fail, too, and must not hide why; the pool looks afterwards
      const soon = { text: 'ROLLBACK', query_timeout: 1_000 };
      await query(soon).catch(() => {});
      throw error;
    }
  };
  return db.use(inside, { signal });
}
// --8<-- [end:once]
