// --8<-- [start:problem]
import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import { ClientGone, DeadlineError } from '../resilience/deadline.mjs';

/** An answer of 4xx or 5xx, as RFC 9457 has it. Throw it from anywhere. */
export class Problem extends Error {
  constructor(status, detail, { headers = {}, cause, ...members } = {}) {
    super(detail, cause && { cause });
    this.status = status;
    this.headers = headers;
    this.body = { title: STATUS_CODES[status], status, detail, ...members };
  }
}

export const invalid = (errors) =>
  new Problem(422, 'The content breaks rules of this API.', {
    type: 'https://shop.test/problems/invalid',
    errors,
  });
// --8<-- [end:problem]

// --8<-- [start:handler]
const SAID = {
  'entity.parse.failed': 'The body is not JSON.',
  'entity.too.large': 'The body is larger than this API takes.',
};

/** The last middleware. What is not certainly the client's doing is a 500:
 * an error of another service, too, may carry a `status`.
 * @param {{ logger?: Console }} deps */
export function problems({ logger = console } = {}) {
  // four parameters, or Express does not take it for an error handler
  return (error, req, res, next) => {
    if (res.headersSent) return next(error); // Express cuts the connection
    const problem = clients(error) ?? new Problem(500);
    let instance;
    if (problem.status >= 500) {
      instance = `urn:uuid:${randomUUID()}`; // to find it again
      logger.error({ error, instance }, 'request failed');
    }
    return res
      .status(problem.status)
      .set({ 'Cache-Control': 'no-store', ...problem.headers })
      .type('application/problem+json')
      .json({ ...problem.body, instance });
  };
}

/** What we threw ourselves, what the parser refused, and a bad path; and the
 * end of a request's time, which is 499 if its client has gone, else 504. */
function clients(error) {
  if (error instanceof Problem) return error;
  const over = [ClientGone, DeadlineError].some(
    (end) => error instanceof end,
  );
  if (over) return new Problem(error.status, 'It took too long.');
  const { expose, status, type } = Object(error);
  const refused = expose && type && status >= 400 && status < 500;
  if (refused) return new Problem(status, SAID[type]);
  const path = error instanceof URIError && status === 400; // the router's
  return path ? new Problem(400, 'Bad escape.') : null;
}
// --8<-- [end:handler]

export const notFound = () => {
  throw new Problem(404);
};

/** A handler that refuses all other methods.
 * @param {string[]} allowed */
export function methods(...allowed) {
  const headers = { Allow: allowed.join(', ') };
  return (req) => {
    throw new Problem(405, `${req.method} is not one of them.`, { headers });
  };
}
