// --8<-- [start:issue]
import { SignJWT, errors, jwtVerify } from 'jose';
import { randomUUID } from 'node:crypto';
import { wellFormed } from './form.mjs';

/** The same `issue(user)` with jose, which also knows Ed25519. */
export function createTokens(deps) {
  const { key, issuer, audience, lifetime = 300, now = Date.now } = deps;
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
/** `keys(header)` finds a key: see keys.mjs, and fromMap below. */
export function createVerifier(deps) {
  const { keys, algorithms, issuer, audience } = deps;
  const { lifetime = 300, leeway = 5, now = Date.now } = deps;
  const { refused = () => {} } = deps;
  if (!issuer || !audience || !algorithms?.length) {
    throw new Error('issuer, audience, algorithms: what is not set passes');
  }

  return async function verify(token) {
    try {
      if (!wellFormed(token)) return null;
      const { payload } = await jwtVerify(token, keys, {
        algorithms,
        issuer,
        audience,
        typ: 'at+jwt',
        requiredClaims: ['exp', 'sub'],
        maxTokenAge: lifetime,
        clockTolerance: leeway,
        currentDate: new Date(now()),
      });
      return typeof payload.sub === 'string' && payload.sub ? payload : null;
    } catch (error) {
      // everything else is our fault, such as keys that cannot be fetched
      if (!(error instanceof errors.JOSEError)) throw error;
      refused(error);
      return null;
    }
  };
}
// --8<-- [end:verify]

// --8<-- [start:map]
export function fromMap(keys) {
  return ({ kid, alg }) => {
    const key = keys.get(kid);
    if (key?.alg !== alg) throw new errors.JWKSNoMatchingKey();
    return key.public;
  };
}
// --8<-- [end:map]
