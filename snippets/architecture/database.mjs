// --8<-- [start:database]
import { openPool } from './pool.mjs';
import { SCHEMA } from './schema.mjs';

/** A pool on a database that has the tables; it ends when `signal` aborts. */
export async function openDatabase(url, { signal, ...deps } = {}) {
  const pool = openPool(url, deps);
  // IF NOT EXISTS looks, then makes: of several processes that start at once
  // all but one would fail. So they queue, until the query is done.
  await pool.query(`SELECT pg_advisory_xact_lock(7); ${SCHEMA}`);
  const end = () => pool.ending || pool.end();
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end(); // while the query ran
  return pool;
}
// --8<-- [end:database]
