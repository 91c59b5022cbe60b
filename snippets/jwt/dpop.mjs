import { EmbeddedJWK, calculateJwkThumbprint, jwtVerify } from 'jose';
import { createHash } from 'node:crypto';
import { numbers } from '../validation/numbers.mjs';
import { demandTexts } from './demand.mjs';

// --8<-- [start:dpop]
const ALGORITHMS = ['ES256', 'Ed25519']; // never one of a shared secret

/** Checks that the sender of a request holds the key that its access token is
 * bound to. `holds(req, token, claims)` gives true or false: `claims` are
 * those of the verified token. `origin` is ours, as clients write it. Proofs
 * are remembered while they are good, `most` of them. Times in seconds.
 * @param {{ origin: string, maxAge?: number, leeway?: number, most?: number,
 *   now?: () => number }} deps */
export function createDpop({ origin, ...deps }) {
  const { maxAge = 60, leeway = 5, most = 100_000, now = Date.now } = deps;
  demandTexts({ origin });
  numbers({ maxAge, most });
  numbers({ leeway }, { least: 0 });
  const seen = new Map(); // of each proof its end, in ms, oldest first

  function isNew(id) {
    for (const [old, end] of seen) {
      if (end > now()) break;
      seen.delete(old);
    }
    // full: refused, since a proof that nobody remembers could be replayed
    if (seen.has(id) || seen.size >= most) return false;
    seen.set(id, now() + (maxAge + 2 * leeway) * 1000);
    return true;
  }
  // --8<-- [end:dpop]

  // --8<-- [start:holds]
  return async function holds(req, token, claims) {
    try {
      const { payload, protectedHeader } = await jwtVerify(
        req.get('DPoP') ?? '',
        EmbeddedJWK, // the key is in the proof: the token says which one
        {
          typ: 'dpop+jwt',
          algorithms: ALGORITHMS,
          maxTokenAge: maxAge,
          clockTolerance: leeway,
          currentDate: new Date(now()),
          requiredClaims: ['jti', 'htm', 'htu', 'ath'],
        },
      );
      const key = await calculateJwkThumbprint(protectedHeader.jwk);
      const [path] = req.originalUrl.split('?', 1);
      const { jti } = payload;
      const right =
        key === claims?.cnf?.jkt && // bound when the token was issued
        payload.htm === req.method &&
        payload.htu === `${origin}${path}` &&
        payload.ath === hashOf(token);
      const text = typeof jti === 'string' && jti.length <= 100;
      return right && text && isNew(`${key} ${jti}`);
    } catch {
      return false; // whatever is wrong with it
    }
  };
}

const hashOf = (token) =>
  createHash('sha256').update(token).digest('base64url');
// --8<-- [end:holds]
