// --8<-- [start:tokens]
import { randomUUID } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { numbers } from '../validation/numbers.mjs';
import { demandTexts } from './demand.mjs';

/** Gives `issue(user)`, which signs an access token with jsonwebtoken.
 * `key`: { kid, alg, private }; `lifetime` in seconds.
 * @param {{ key: any, issuer: string, audience: string, lifetime?: number,
 *   now?: () => number }} deps */
export function createTokens(deps) {
  const { key, issuer, audience, lifetime = 300, now = Date.now } = deps;
  demandTexts({ issuer, audience });
  numbers({ lifetime }); // the text '300' would be milliseconds

  return function issue({ id, sid }) {
    const iat = Math.floor(now() / 1000);
    return jwt.sign({ iat, sid }, key.private, {
      algorithm: key.alg,
      keyid: key.kid,
      header: { typ: 'at+jwt' }, // of no use where another kind is expected
      issuer,
      audience,
      subject: id,
      jwtid: randomUUID(),
      expiresIn: lifetime,
    });
  };
}
// --8<-- [end:tokens]
