// --8<-- [start:auth]
import { createHash } from 'node:crypto';
import { Problem } from './problem.mjs';

/** `authenticate(req)` says who it is, `{ id }`, or null. Every answer below
 * is one user's: caches of others must not keep it.
 * @param {Function} authenticate */
export function identify(authenticate) {
  return async (req, res, next) => {
    res.set('Cache-Control', 'private, no-cache').vary('Authorization');
    req.user = await authenticate(req);
    if (req.user) return next();
    const headers = { 'WWW-Authenticate': 'Bearer' };
    throw new Problem(401, 'Send a token.', { headers });
  };
}

const hash = (text) => createHash('sha256').update(text).digest('hex');

/** API keys, kept as hashes: `users` maps the hash of a key to a user id.
 * @param {Map<string, string>} users */
export function bearer(users) {
  return (req) => {
    const [scheme, key] = (req.get('Authorization') ?? '').split(' ');
    const known = /^bearer$/i.test(scheme) && key && users.get(hash(key));
    return known ? { id: known } : null;
  };
}
// --8<-- [end:auth]
