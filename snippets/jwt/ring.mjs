// --8<-- [start:ring]
import { exportJWK, generateKeyPair } from 'jose';
import { numbers } from '../validation/numbers.mjs';

/** The issuer's keys. A new one is published `ahead` of its first use, so
 * that every verifier's cache has it; an old one stays published until the
 * last token that it signed has expired: `lifetime` is a token's, leeway
 * included. In ms.
 * @param {{ ahead: number, lifetime: number, now?: () => number }} deps */
export function createKeyRing({ ahead, lifetime, now = Date.now }) {
  numbers({ ahead }, { least: 0 });
  numbers({ lifetime });
  let keys = []; // oldest first

  function live() {
    keys = keys.filter((_, i) => {
      const next = keys[i + 1];
      return !next || now() < next.from + lifetime;
    });
    return keys;
  }
  return {
    async add(kid) {
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' };
      const from = keys.length === 0 ? now() : now() + ahead;
      keys.push({ kid, alg: 'ES256', private: privateKey, jwk, from });
    },
    signing: () => live().findLast(({ from }) => from <= now()),
    jwks: () => ({ keys: live().map(({ jwk }) => jwk) }),
  };
}
// --8<-- [end:ring]
