/** What we say about a failure; `status` is for the client. */
export class Failure extends Error {
  constructor(status, message, options) {
    super(message, options);
    this.name = 'Failure';
    this.status = status;
  }
}

/** COMMIT was sent and its answer never came: it may be done. */
export class OutcomeUnknown extends Failure {
  constructor(cause) {
    super(503, 'It may have been done: ask with the same key.', { cause });
    this.name = 'OutcomeUnknown';
  }
}

// --8<-- [start:status]
// codes, not messages: those are translated, and differ by version
const STATUS = new Map([
  ['22P02', 400], // invalid_text_representation: 'x' for a number
  ['22003', 400], // numeric_value_out_of_range
  ['22008', 400], // datetime_field_overflow
  ['22021', 400], // character_not_in_repertoire: NUL, for one
  ['23505', 409], // unique_violation
  ['23503', 409], // foreign_key_violation
  ['23514', 422], // check_violation
  ['40001', 503], // serialization_failure, after the last try
  ['40P01', 503], // deadlock_detected, likewise
  ['55P03', 503], // lock_not_available
  ['57014', 503], // query_canceled: statement_timeout, for one
  ['53300', 503], // too_many_connections
  ['ECONNREFUSED', 503], // nobody listens: it restarts, perhaps
]);

/** The connection is gone, and with it whatever was not committed.
 * @param {any} error */
export const isLost = (error) =>
  /^(57P0|08)/.test(error?.code) ||
  ['ECONNRESET', 'EPIPE'].includes(error?.code) ||
  /^(Connection terminated( unexpectedly)?|Query read timeout)$/.test(
    error?.message,
  );

/** The HTTP status of an error of ours, of PostgreSQL's or of the driver's.
 * @param {any} error */
export function statusOf(error) {
  if (error instanceof Failure) return error.status;
  return STATUS.get(error?.code) ?? (isLost(error) ? 503 : 500);
}
// --8<-- [end:status]

// --8<-- [start:answer]
/** Express's last middleware. What a row was about stays in the log.
 * @param {{ logger?: Console }} deps */
export function databaseErrors({ logger = console } = {}) {
  return (error, req, res, next) => {
    const parsing = error?.expose === true && error.status; // body parsers
    const status = parsing || statusOf(error);
    if (status >= 500) {
      const { message, code } = error ?? {};
      logger.error({ message, code }, 'the request failed');
    }
    if (res.headersSent) return next(error ?? new Error('nothing'));
    if (status === 503) res.set('Retry-After', '1');
    const detail = error instanceof Failure ? error.message : undefined;
    return res
      .status(status)
      .type('application/problem+json')
      .send(JSON.stringify({ status, detail }));
  };
}
// --8<-- [end:answer]
