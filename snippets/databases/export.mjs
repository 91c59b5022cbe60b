// --8<-- [start:each]
import { numbers } from '../validation/numbers.mjs';
import { transaction } from './transaction.mjs';

/** `each(text, values, take, { signal })` gives the rows of a query to
 * `take(rows)`, so many at a time, and waits for it. PostgreSQL keeps the
 * rest: what is in memory does not grow with the result.
 * @param {{ db: { use: Function }, batch?: number }} deps */
export function createEach({ db, batch = 500 }) {
  numbers({ batch });
  return function each(text, values, take, { signal } = {}) {
    const inside = async ({ query }) => {
      let count = 0;
      await query(`DECLARE each NO SCROLL CURSOR FOR ${text}`, values);
      for (;;) {
        const { rows } = await query(`FETCH ${batch} FROM each`);
        if (rows.length === 0) return count;
        count += rows.length;
        await take(rows);
      }
    };
    // no second try: rows were given away
    return transaction(db, inside, { tries: 1, signal });
  };
}
// --8<-- [end:each]

// --8<-- [start:export]
import { once } from 'node:events';

/** Answers with the rows as lines of JSON, no faster than the client reads,
 * and stops when it is gone. Who reads too slowly, or nothing, is cut off
 * by the pool's limit for a transaction in which nothing happens.
 * @param {{ db: { use: Function }, batch?: number,
 *   logger?: Console }} deps */
export function createExport({ db, batch, logger = console }) {
  const each = createEach({ db, batch });
  return async function send(res, text, values) {
    const gone = new AbortController();
    const onClose = () => gone.abort(new Error('the client is gone'));
    res.once('close', onClose);
    const { signal } = gone;
    const take = async (rows) => {
      if (!res.headersSent) res.type('application/x-ndjson');
      const lines = rows.map((row) => `${JSON.stringify(row)}\n`).join('');
      if (!res.write(lines)) await once(res, 'drain', { signal });
    };
    try {
      await each(text, values, take, { signal });
      res.off('close', onClose).end();
    } catch (error) {
      res.off('close', onClose);
      if (!res.headersSent && !signal.aborted) throw error;
      // an end without an end: a client must not take the half for all
      logger.error({ message: error?.message }, 'an export was cut off');
      res.destroy();
    }
  };
}
// --8<-- [end:export]
