// --8<-- [start:transaction]
import { setTimeout as sleep } from 'node:timers/promises';

// serialization_failure, deadlock_detected: nothing of it was done
const AGAIN = new Set(['40001', '40P01']);

/** Runs `work(client)` as if it were alone. PostgreSQL ends some of those
 * that meet: they begin again, so `work` must do nothing but queries. */
export async function transaction(pool, work, { tries = 8 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const client = await pool.connect();
    let broken;
    try {
      await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failed) => {
        broken = failed; // the pool must not hand it to the next one
      });
      if (!AGAIN.has(error.code) || attempt === tries) throw error;
    } finally {
      client.release(broken);
    }
    await sleep(Math.random() * 2 ** attempt);
  }
}
// --8<-- [end:transaction]
