// --8<-- [start:migrate]
import { setTimeout as sleep } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { createPool } from './pool.mjs';
import { transaction } from './transaction.mjs';

const TABLE = `CREATE TABLE IF NOT EXISTS migrations (
  id text PRIMARY KEY, done_at timestamptz NOT NULL DEFAULT now())`;
const NOTE = 'INSERT INTO migrations (id) VALUES ($1)';
const ONE_AT_A_TIME = 'SELECT pg_try_advisory_lock(4711) AS mine';

/** Does the steps that were not done, in their order, each all or nothing. A
 * step is `{ id, sql }`, or `{ id, index, sql }` for an index that is made
 * CONCURRENTLY. It connects to PostgreSQL itself, not to PgBouncer.
 * @param {{ url: string, steps: { id: string, sql: string,
 *   index?: string }[], signal?: AbortSignal }} deps */
export async function migrate({ url, steps, logger = console, ...deps }) {
  const { lockMs = 200, stepMs = 600_000, signal } = deps;
  const { tries = 20, pauseMs = 500 } = deps;
  numbers({ lockMs, stepMs, pauseMs }, { least: 1, most: WAIT.most - 10 });
  numbers({ tries });
  const times = { statementMs: stepMs, silentMs: stepMs + 10, lockMs };
  const limits = { max: 1, ...times, idleMs: stepMs };
  const pool = createPool({ url, limits, logger });
  try {
    return await pool.use(all, { signal });
  } finally {
    await pool.end(); // and with the connection goes the lock
  }

  // --8<-- [end:migrate]

  async function all({ query }) {
    await patiently(() => alone(query));
    await query(TABLE);
    const { rows } = await query('SELECT id FROM migrations');
    const done = new Set(rows.map(({ id }) => id));
    const left = steps.filter(({ id }) => !done.has(id));
    for (const step of left) {
      const act = step.index ? concurrently : atOnce;
      await patiently(() => act(query, step));
      logger.info({ step: step.id }, 'migrated');
    }
    return left.map(({ id }) => id);
  }

  // --8<-- [start:patiently]
  /** A step that waits for a lock makes all others wait behind it. So it
   * waits shortly, gives up its place, and comes again. */
  async function patiently(act) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await act();
      } catch (error) {
        if (error?.code !== '55P03' || attempt >= tries) throw error;
      }
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal });
    }
  }
}
// --8<-- [end:patiently]

// --8<-- [start:steps]
/** Several processes start at once: one migrates, the others come again. */
async function alone(query) {
  const [{ mine }] = (await query(ONE_AT_A_TIME)).rows;
  if (mine) return;
  const error = new Error('another process migrates');
  throw Object.assign(error, { code: '55P03' });
}

/** DDL is part of the transaction, and so is the note that it was done. */
const atOnce = (query, { id, sql }) =>
  transaction(
    { use: (work) => work({ query }) },
    async (tx) => {
      await tx.query(sql);
      await tx.query(NOTE, [id]);
    },
    { tries: 1 },
  );

const INVALID = `SELECT FROM pg_index
  WHERE indexrelid = to_regclass($1) AND NOT indisvalid`;

/** CONCURRENTLY refuses a transaction. What died half-way has left an invalid
 * index, which IF NOT EXISTS would take for one that is there. */
async function concurrently(query, { id, index, sql }) {
  if (!/^[a-z_]{1,60}$/.test(index)) throw new TypeError(`index: ${index}?`);
  const { rowCount } = await query(INVALID, [index]);
  if (rowCount > 0) await query(`DROP INDEX CONCURRENTLY ${index}`);
  // it waits for older transactions, and nobody behind it
  await query('SET lock_timeout = 0');
  await query(sql);
  await query('RESET lock_timeout');
  await query(NOTE, [id]);
}
// --8<-- [end:steps]
