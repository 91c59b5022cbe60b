// --8<-- [start:limits]
import pg from 'pg';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { Failure } from './errors.mjs';
import { types } from './types.mjs';

// To pg, 0 or nothing means for ever. Each of them ends a wait.
const LIMITS = {
  max: 10, // connections of this process
  waiting: 100, // requests that may wait for one
  acquireMs: 1_000, // and how long
  statementMs: 5_000, // PostgreSQL ends the statement
  lockMs: 2_000, // or its wait for a lock
  idleMs: 10_000, // or a transaction in which nothing happens
  silentMs: 6_000, // we give up a PostgreSQL that says nothing
};
// --8<-- [end:limits]

// --8<-- [start:pool]
/** Connections to PostgreSQL, with an end to each wait. It closes when
 * `signal` aborts.
 * @param {{ url: string, limits?: Partial<typeof LIMITS>, logger?: Console,
 *   signal?: AbortSignal }} deps */
export function createPool({ url, limits, logger = console, signal } = {}) {
  const { max, waiting, ...ms } = checked({ ...LIMITS, ...limits });
  if (!url) throw new TypeError('a pool needs the URL of a database');
  const pool = new pg.Pool({
    connectionString: url,
    types,
    max,
    connectionTimeoutMillis: ms.acquireMs,
    statement_timeout: ms.statementMs,
    lock_timeout: ms.lockMs,
    idle_in_transaction_session_timeout: ms.idleMs,
    query_timeout: ms.silentMs,
  });
  // without it, an idle connection that is lost ends the process
  pool.on('error', ({ message }) => {
    logger.error({ message }, 'an idle connection was lost');
  });
  const use = (work, options) => {
    if (pool.waitingCount >= waiting) return Promise.reject(busy());
    return lend(pool, work, options);
  };
  const query = (text, values, options) =>
    use((client) => client.query(text, values), options);
  const end = () => (pool.ending ? undefined : pool.end());
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  const now = () => ({
    open: pool.totalCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
  });
  return { query, use, now, end };
}
// --8<-- [end:pool]

// --8<-- [start:lend]
/** Gives `work({ query })` a connection and takes it back, whatever happened:
 * one that is lost, busy, or in a transaction, is not for the next one. */
async function lend(pool, work, { signal } = {}) {
  signal?.throwIfAborted();
  const { promise: ended, reject } = Promise.withResolvers();
  ended.catch(() => {}); // nobody may be waiting for it
  let [broken, over, running] = [false, false, 0];
  const onError = (error) => reject(error, (broken = true));
  const onAbort = () => onError(signal.reason);
  const client = await checkOut(pool, { signal, onError });
  signal?.addEventListener('abort', onAbort, { once: true });
  const query = async (...args) => {
    if (over) throw new Error('too late: the connection was given back');
    running += 1;
    return client.query(...args).finally(() => (running -= 1));
  };
  try {
    return await Promise.race([work({ query }), ended]);
  } finally {
    over = true;
    signal?.removeEventListener('abort', onAbort);
    client.off('error', onError);
    const clean = running === 0 && client.getTransactionStatus() === 'I';
    client.release(broken || !clean);
  }
}
// --8<-- [end:lend]

// --8<-- [start:check-out]
/** The pool listens to a connection that is idle; from the moment when it is
 * lent, we do. Who goes while waiting gets none. */
const checkOut = (pool, { signal, onError }) =>
  new Promise((resolve, reject) => {
    const gone = () => reject(signal.reason);
    signal?.addEventListener('abort', gone, { once: true });
    pool.connect((error, client) => {
      signal?.removeEventListener('abort', gone);
      if (error) return reject(isFull(error) ? busy(error) : error);
      if (signal?.aborted) return client.release();
      client.on('error', onError);
      return resolve(client);
    });
  });

// none was given back in time, or no new one was made in time
const isFull = ({ message }) =>
  /^(timeout exceeded|Connection terminated due)/.test(message);
const busy = (cause) => new Failure(503, 'No connection is free.', { cause });

function checked({ ...limits }) {
  const known = Object.keys(limits).every((name) => name in LIMITS);
  if (!known) throw new RangeError(`limits are ${Object.keys(LIMITS)}`);
  numbers(limits, { least: 1, most: WAIT.most });
  return limits;
}
// --8<-- [end:check-out]
