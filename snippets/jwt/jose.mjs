// --8<-- [start:issue]
import { SignJWT, errors, jwtVerify } from 'jose';
import { randomUUID } from 'node:crypto';
import { numbers } from '../validation/numbers.mjs';
import { demand, demandTexts } from './demand.mjs';
import { wellFormed } from './form.mjs';
import { quietly } from '../validation/quietly.mjs';

/** The same `issue(user)` with jose, which also knows Ed25519.
 * @param {{ key: any, issuer: string, audience: string, lifetime?: number,
 *   now?: () => number }} deps */
export function createTokens(deps) {
  const { key, issuer, audience, lifetime = 300, now = Date.now } = deps;
  demandTexts({ issuer, audience });
  numbers({ lifetime });

  return async function issue({ id, sid }) {
    const { alg, kid } = key;
    const iat = Math.floor(now() / 1000);
    return new SignJWT({ sid, iat, exp: iat + lifetime })
      .setProtectedHeader({ alg, kid, typ: 'at+jwt' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(id)
      .setJti(randomUUID())
      .sign(key.private);
  };
}
// --8<-- [end:issue]

// --8<-- [start:verify]
/** `keys(header)` finds a key: see keys.mjs, and fromMap below.
 * @param {{ keys: Function, algorithms: string[], issuer: string,
 *   audience: string, lifetime?: number, leeway?: number,
 *   refused?: Function }} deps */
export function createVerifier({ refused = () => {}, ...deps }) {
  const check = checkOf(deps);
  return async function verify(token) {
    try {
      return await check(token);
    } catch (error) {
      // everything else is our fault, such as keys that cannot be fetched
      if (!(error instanceof errors.JOSEError)) throw error;
      quietly(refused, error);
      return null;
    }
  };
}

function checkOf(deps) {
  const { keys, algorithms, issuer, audience, now = Date.now } = deps;
  const { lifetime = 300, leeway = 5 } = deps;
  const some = Array.isArray(algorithms) && algorithms.length > 0;
  demand(some, 'algorithms: not a list, so they would not be checked');
  demandTexts({ issuer, audience });
  numbers({ lifetime });
  numbers({ leeway }, { least: 0 });

  return async function check(token) {
    if (!wellFormed(token)) throw new errors.JWTInvalid('malformed');
    const { payload } = await jwtVerify(token, keys, {
      ...{ algorithms, issuer, audience, typ: 'at+jwt' },
      requiredClaims: ['exp', 'sub'],
      maxTokenAge: lifetime,
      clockTolerance: leeway,
      currentDate: new Date(now()),
    });
    if (payload.sub && typeof payload.sub === 'string') return payload;
    throw new errors.JWTInvalid('no subject');
  };
}
// --8<-- [end:verify]

// --8<-- [start:map]
/** Keys that do not change, by kid.
 * @param {Map<string, any>} keys */
export function fromMap(keys) {
  return ({ kid, alg }) => {
    const key = keys.get(kid);
    if (key?.alg !== alg) throw new errors.JWKSNoMatchingKey();
    return key.public;
  };
}
// --8<-- [end:map]
