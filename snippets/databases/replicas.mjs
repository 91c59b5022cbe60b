// --8<-- [start:replicas]
import { setTimeout as sleep } from 'node:timers/promises';
import { WAIT, numbers } from '../validation/numbers.mjs';

const WRITTEN = 'SELECT pg_current_wal_lsn()::text AS lsn';
const REPLAYED = `SELECT
  coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false) AS there`;

/** `written()` after a COMMIT gives the place in the log that has it;
 * `read(place, text, values)` asks the replica once it is that far, and the
 * primary if that takes too long, or the replica fails.
 * @param {{ primary: { query: Function }, replica: { query: Function },
 *   waitMs?: number }} deps */
export function createReads({
  primary,
  replica,
  waitMs = 200,
  pauseMs = 10,
}) {
  numbers({ waitMs, pauseMs }, { least: 1, most: WAIT.most });

  const written = async (options) =>
    (await primary.query(WRITTEN, [], options)).rows[0].lsn;

  async function caughtUp(place, options) {
    const until = performance.now() + waitMs;
    for (;;) {
      const { rows } = await replica.query(REPLAYED, [place], options);
      if (rows[0].there) return true;
      if (performance.now() > until) return false;
      await sleep(pauseMs, undefined, options);
    }
  }

  // --8<-- [end:replicas]

  async function read(place, text, values, options = {}) {
    const { signal } = options;
    try {
      if (await caughtUp(place, { signal }))
        return await replica.query(text, values, { signal });
    } catch (error) {
      if (signal?.aborted) throw error;
    }
    return primary.query(text, values, { signal });
  }
  return { written, read };
}
