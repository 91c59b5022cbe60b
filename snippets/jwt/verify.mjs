// --8<-- [start:verify]
import jwt from 'jsonwebtoken';
import { numbers } from '../validation/numbers.mjs';
import { demand, demandTexts } from './demand.mjs';
import { wellFormed } from './form.mjs';
import { quietly } from '../validation/quietly.mjs';

/** Gives `verify(token)`: its claims, or null whatever is wrong with it.
 * `keys`: kid -> { alg, public }. The key says which algorithm it is for;
 * the token only says which of our keys it means. Times in seconds.
 * @param {{ keys: Map<string, any>, issuer: string, audience: string,
 *   lifetime?: number, leeway?: number, refused?: Function }} deps */
export function createVerifier({ refused = () => {}, ...deps }) {
  const check = checkOf(deps);
  return function verify(token) {
    try {
      return check(token);
    } catch (error) {
      quietly(refused, error); // for the log; the client learns only 401
      return null;
    }
  };
}
// --8<-- [end:verify]

// --8<-- [start:check]
function checkOf(deps) {
  const { keys, issuer, audience, now = Date.now } = deps;
  const { lifetime = 300, leeway = 5 } = deps;
  demand(keys instanceof Map, 'keys: not a Map');
  demandTexts({ issuer, audience });
  numbers({ lifetime });
  numbers({ leeway }, { least: 0 });

  return function check(token) {
    demand(wellFormed(token), 'malformed');
    const { header } = jwt.decode(token, { complete: true }) ?? {};
    const key = keys.get(header?.kid);
    demand(key, 'unknown key');
    demand(header.typ === 'at+jwt' && !('crit' in header), 'header');
    const clockTimestamp = Math.floor(now() / 1000);
    const claims = jwt.verify(token, key.public, {
      algorithms: [key.alg],
      issuer,
      audience,
      maxAge: lifetime, // whatever `exp` says
      clockTolerance: leeway,
      clockTimestamp,
    });
    demand(typeof claims.exp === 'number', 'no exp');
    demand(claims.iat > 0, 'iat is 0'); // the library takes it for now
    demand(claims.iat <= clockTimestamp + leeway, 'iat in the future');
    demand(claims.sub && typeof claims.sub === 'string', 'no subject');
    return claims;
  };
}
// --8<-- [end:check]
