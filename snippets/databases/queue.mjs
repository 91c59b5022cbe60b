// --8<-- [start:queue]
import { setTimeout as sleep } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';
import { withEnd } from './end.mjs';
import { transaction } from './transaction.mjs';

const TAKE = `SELECT id, body, tries FROM jobs
  WHERE run_at <= now() AND tries < $1
  ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED`;
const DONE = 'DELETE FROM jobs WHERE id = $1';
const LATER = `UPDATE jobs SET tries = tries + 1,
  run_at = now() + $2 * interval '1 ms' WHERE id = $1`;

/** Jobs in a table. The lock on its row says that somebody does a job: it
 * ends with the worker, whatever ends the worker. A job may be done twice,
 * when the worker dies between doing it and COMMIT.
 * @param {{ db: { use: Function }, handle: Function, mostMs?: number }} deps
 *   mostMs: below the pool's idleMs */
export function createQueue(deps) {
  const { db, handle, logger = console } = deps;
  const { mostMs = 5_000, againMs = 1_000, pauseMs = 500, tries = 5 } = deps;
  numbers({ mostMs, againMs, pauseMs }, { least: 1, most: WAIT.most });
  numbers({ tries });

  const put = (tx, job) =>
    tx.query('INSERT INTO jobs (body) VALUES ($1)', [JSON.stringify(job)]);
  // --8<-- [end:queue]

  // --8<-- [start:work]
  /** Does one job: true, or false if there is none to do. */
  function one({ signal } = {}) {
    const inside = async ({ query }) => {
      const [job] = (await query(TAKE, [tries])).rows;
      if (!job) return false;
      const failed = await attempt(job.body, signal);
      if (failed) {
        await query(LATER, [job.id, againMs * 2 ** job.tries]);
        logger.error({ job: job.id, message: failed.message }, 'job failed');
      } else {
        await query(DONE, [job.id]);
      }
      return true;
    };
    return transaction(db, inside, { tries: 1, signal });
  }

  async function attempt(body, outer) {
    const late = AbortSignal.timeout(mostMs);
    const signal = outer ? AbortSignal.any([outer, late]) : late;
    try {
      await withEnd(handle(body, { signal }), signal);
      return null;
    } catch (error) {
      return error ?? new Error('rejected with nothing');
    }
  }

  /** Works until `signal` aborts; what it is doing then is undone. */
  async function run({ signal }) {
    while (!signal.aborted) {
      const worked = await one({ signal }).catch((error) => {
        if (!signal.aborted)
          logger.error({ message: error?.message }, 'no job could be taken');
      });
      if (!worked) await sleep(pauseMs, null, { signal }).catch(() => {});
    }
  }
  return { put, one, run };
}
// --8<-- [end:work]
