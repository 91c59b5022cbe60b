// --8<-- [start:limited]
/** Middleware in front of whatever costs something: takes `costOf(req)` from
 * the bucket of `keyOf(req)`, or answers 429 and says when to come back.
 * @param {{ bucket: { take: Function }, keyOf: Function,
 *   costOf?: Function }} deps */
export function limited({ bucket, keyOf, costOf = () => 1 }) {
  return async (req, res, next) => {
    const [key, cost] = [await keyOf(req), await costOf(req)];
    const { allowed, waitMs } = await bucket.take(key, cost);
    if (allowed) return next();
    const retryAfter = Math.max(1, Math.ceil(waitMs / 1000)); // seconds
    const possible = Number.isFinite(retryAfter);
    if (possible) res.set('Retry-After', String(retryAfter));
    const title = possible ? 'Too many requests' : 'This costs too much';
    const problem = { title, status: possible ? 429 : 422, retryAfter };
    return res
      .status(problem.status)
      .type('application/problem+json')
      .send(JSON.stringify(problem));
  };
}
// --8<-- [end:limited]
