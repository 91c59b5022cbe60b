// --8<-- [start:ring]
import { exportJWK, generateKeyPair } from 'jose';

export function createKeyRing() {
  let key;
  return {
    async add(kid) {
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' };
      key = { kid, alg: 'ES256', private: privateKey, jwk };
    },
    signing: () => key,
    jwks: () => ({ keys: [key.jwk] }),
  };
}
// --8<-- [end:ring]
