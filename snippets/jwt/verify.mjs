// --8<-- [start:verify]
import jwt from 'jsonwebtoken';
import { wellFormed } from './form.mjs';

/** Gives `verify(token)`: its claims, or null whatever is wrong with it.
 * `keys`: kid -> { alg, public }. The key says which algorithm it is for;
 * the token only says which of our keys it means. Times in seconds. */
export function createVerifier(deps) {
  const { keys, issuer, audience, lifetime = 300, leeway = 5 } = deps;
  const { now = Date.now, refused = () => {} } = deps;
  demand(issuer && audience, 'issuer, audience: what is not set passes');

  function check(token) {
    demand(wellFormed(token), 'malformed');
    const { header } = jwt.decode(token, { complete: true }) ?? {};
    const key = keys.get(header?.kid);
    demand(key, 'unknown key');
    demand(header.typ === 'at+jwt' && !('crit' in header), 'header');
    const clockTimestamp = Math.floor(now() / 1000);
    const claims = jwt.verify(token, key.public, {
      algorithms: [key.alg],
      issuer,
      audience, // text: a pattern would have to be anchored
      maxAge: lifetime, // whatever `exp` says
      clockTolerance: leeway,
      clockTimestamp,
    });
    demand(typeof claims.exp === 'number', 'no exp');
    demand(claims.iat <= clockTimestamp + leeway, 'iat in the future');
    demand(claims.sub && typeof claims.sub === 'string', 'no subject');
    return claims;
  }
  return function verify(token) {
    try {
      return check(token);
    } catch (error) {
      refused(error); // for the log; the client learns nothing but 401
      return null;
    }
  };
}
// --8<-- [end:verify]

// --8<-- [start:demand]
function demand(fulfilled, reason) {
  if (!fulfilled) throw new Error(reason);
}
// --8<-- [end:demand]
