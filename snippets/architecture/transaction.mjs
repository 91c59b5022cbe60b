// --8<-- [start:transaction]
import { setTimeout as sleep } from 'node:timers/promises';

// serialization_failure, deadlock_detected: nothing of it was done
const AGAIN = new Set(['40001', '40P01']);

/** Runs `work({ query })` as if it were alone. PostgreSQL ends some of those
 * that meet: they begin again, so `work` must do nothing but queries.
 * @template T
 * @param {import('pg').Pool} pool
 * @param {(client: { query: Function }) => Promise<T>} work
 * @param {{ tries?: number }} [options] */
export async function transaction(pool, work, { tries = 8 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(pool, work);
    } catch (error) {
      if (!AGAIN.has(error?.code) || !(attempt < tries)) throw error;
    }
    await sleep(Math.random() * 2 ** attempt);
  }
}
// --8<-- [end:transaction]

// --8<-- [start:once]
async function once(pool, work) {
  const { promise: lost, reject } = Promise.withResolvers();
  lost.catch(() => {}); // nobody may be waiting for it
  let [broken, over] = [null, false];
  const onError = (error) => reject((broken ??= error));
  const client = await checkOut(pool, onError);
  const query = async (...args) => {
    if (over) throw new Error('too late: the transaction is over');
    return client.query(...args);
  };
  try {
    await query('BEGIN ISOLATION LEVEL SERIALIZABLE');
    const result = await Promise.race([work({ query }), lost]);
    const { command } = await query('COMMIT');
    // what it answers when `work` went on after a query that had failed
    if (command === 'ROLLBACK') throw new Error('a query of it had failed');
    return result;
  } catch (error) {
    const soon = { text: 'ROLLBACK', query_timeout: 1_000 };
    await query(soon).catch((failed) => (broken ??= failed));
    throw error;
  } finally {
    over = true;
    client.off('error', onError);
    client.release(broken); // a broken one is not for the next one
  }
}

/** The pool listens to a client that is idle. From now on we do: after an
 * `await`, an `error` may have come already, and ended the process. */
const checkOut = (pool, onError) =>
  new Promise((resolve, reject) => {
    pool.connect((error, client) => {
      client?.on('error', onError);
      return error ? reject(error) : resolve(client);
    });
  });
// --8<-- [end:once]
