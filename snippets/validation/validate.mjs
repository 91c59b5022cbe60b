// --8<-- [start:validate]
import express from 'express';

/** Answers with problem details (RFC 9457). */
export function problem(res, status, title, more = {}) {
  res.status(status).type('application/problem+json');
  return res.json({ title, status, ...more });
}

/** JSON and nothing else, up to `limit`, compressed or not. */
export function jsonBody({ limit = '10kb' } = {}) {
  const parse = express.json({ limit });
  return function readJson(req, res, next) {
    if (req.is('application/json')) return parse(req, res, next);
    return problem(res, 415, 'The body must be application/json');
  };
}

/** Puts what `parse` made of the body in its place, or answers 422. What is
 * behind it cannot reach anything that was not validated. */
export function validate(parse) {
  return async function validateBody(req, res, next) {
    const { value, errors } = await parse(req.body);
    if (errors) return problem(res, 422, 'Invalid body', { errors });
    req.body = value;
    return next();
  };
}
// --8<-- [end:validate]

// --8<-- [start:errors]
/** The parser's own errors (400, 413, 415) in the same form, with no word of
 * what was sent. Anything else is the app's to report. */
export function bodyErrors(error, req, res, next) {
  const { expose, status, type } = Object(error);
  // another library's error may have a status and a type as well
  const refused = expose && type && status >= 400 && status < 500;
  if (!refused || res.headersSent) return next(error);
  return problem(res, status, `The body was refused: ${type}`);
}
// --8<-- [end:errors]
