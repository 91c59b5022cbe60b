// --8<-- [start:failure]
/** Something that we foresaw: `status` and `message` may be told a client;
 * `cause` is for the log. All else is a bug, and a 500. */
export class Failure extends Error {
  name = 'Failure';
  constructor(status, message, options) {
    super(message, options);
    this.status = status;
  }
}

// --8<-- [end:failure]

// --8<-- [start:errors]
/** The last middleware: one log line and one answer for each error, here and
 * nowhere else. Who has begun an answer gets its connection closed, because
 * an answer that is only not finished looks like one that is slow.
 * @param {{ logger?: { error: Function } }} [options] */
export function errorHandler({ logger = console }) {
  // the four parameters are how Express knows it
  return (error, req, res, next) => {
    const status = statusOf(error);
    if (status >= 500) {
      const route = req.route ? req.baseUrl + req.route.path : 'no route';
      logger.error({ error, method: req.method, route }, 'request failed');
    }
    if (res.writableEnded || res.destroyed) return; // it has its answer
    if (res.headersSent) return res.destroy();
    const title = status === 500 ? 'internal error' : error.message;
    const told = status === 503 ? { 'Retry-After': '1' } : {};
    res.set(told).status(status).json({ error: title });
  };
}

/** Only ours and the parsers' say which status; others' may be a wish. */
function statusOf(error) {
  const { status, expose, name } = error ?? {};
  const ours = error instanceof Failure || OURS.has(name);
  const parser = expose === true && status < 500;
  const valid = Number.isInteger(status) && status >= 400 && status < 600;
  return valid && (ours || parser) ? status : 500;
}
const OURS = new Set(
  'DeadlineError ClientGone Refused BreakerOpen UpstreamError'.split(' '),
);
// --8<-- [end:errors]

// --8<-- [start:guarded]
/** Wraps the callback of a timer, an emitter or a driver: what it throws or
 * rejects with goes to `next`, which Express cannot do for it. */
export const guarded =
  (next, callback) =>
  (...args) =>
    (async () => callback(...args))().catch((error) =>
      next(error ?? new Error('rejected with nothing')),
    );
// --8<-- [end:guarded]
