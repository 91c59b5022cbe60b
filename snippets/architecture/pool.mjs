// --8<-- [start:pool]
import pg from 'pg';
import { WAIT, numbers } from '../validation/numbers.mjs';

// Each of them ends a wait; to pg, 0 or nothing means for ever. PostgreSQL
// ends what is slow, `query_timeout` is for when it says nothing any more.
const LIMITS = {
  max: 10,
  connectionTimeoutMillis: 5_000, // for a free one, too
  statement_timeout: 5_000,
  query_timeout: 6_000,
  idle_in_transaction_session_timeout: 10_000,
};
const isLimit = (name) => Object.hasOwn(LIMITS, name);

/** Connections to PostgreSQL, with a limit on whatever may hang. */
export function openPool(url, { logger = console, limits } = {}) {
  if (!url) throw new TypeError('a pool needs the URL of a database');
  const [, parameters] = url.split('?');
  const inUrl = [...new URLSearchParams(parameters).keys()].find(isLimit);
  // pg would let it win over ours
  if (inUrl) throw new RangeError(`${inUrl}: not in the URL, in limits`);
  const all = { ...LIMITS, ...limits };
  const unknown = Object.keys(all).find((name) => !isLimit(name));
  if (unknown) throw new RangeError(`${unknown} is no limit`);
  numbers(all, { most: WAIT.most });
  const pool = new pg.Pool({ connectionString: url, ...all });
  // a connection that is lost would otherwise end the process: in the pool,
  // and in the hands of somebody, whose queries fail
  pool.on('error', (error) => logger.error({ error }, 'connection lost'));
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}
// --8<-- [end:pool]
