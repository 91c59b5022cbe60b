// --8<-- [start:pool]
import pg from 'pg';

/** Connections to PostgreSQL, with a limit on whatever may hang. */
export function openPool(url, { logger = console } = {}) {
  const pool = new pg.Pool({
    connectionString: url,
    max: 10,
    connectionTimeoutMillis: 5_000, // for a free one, too
    statement_timeout: 5_000,
    idle_in_transaction_session_timeout: 10_000,
  });
  // a connection that dies in the pool would otherwise end the process
  pool.on('error', (error) => logger.error({ error }, 'connection lost'));
  return pool;
}
// --8<-- [end:pool]
