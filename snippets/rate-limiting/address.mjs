// --8<-- [start:address]
/** Above a limiter. Over a Unix socket, or of a client that is gone, there is
 * no address to count by: all of these are one client, the unspecified.
 * @param {import('express').Request} req
 * @param {import('express').Response} res @param {Function} next */
export function addressed(req, res, next) {
  if (!req.ip) Object.defineProperty(req, 'ip', { value: '::' });
  next();
}
// --8<-- [end:address]
