// --8<-- [start:errors]
import { createLocalJWKSet, createRemoteJWKSet } from 'jose';
import { customFetch, errors } from 'jose';
import { numbers } from '../validation/numbers.mjs';
import { Unavailable } from './unavailable.mjs';

// What a token's header can cause; all else is the issuer's doing, or ours.
const OF_THE_TOKEN = [
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys, // no kid, and several keys would do
  errors.JOSENotSupported,
];
// --8<-- [end:errors]

// --8<-- [start:keys]
/** Finds keys by `kid` at one address, ours. A kid that is not known makes
 * jose fetch again, once a `cooldown`. While the issuer is away, the keys
 * that we had go on being used. Times in ms.
 * @param {{ url: string, cooldown?: number, maxAge?: number,
 *   timeout?: number, fetch?: typeof globalThis.fetch }} deps */
export function createKeys(deps) {
  const { url, cooldown = 30_000, maxAge = 600_000, timeout = 2000 } = deps;
  const { fetch = globalThis.fetch, now = Date.now } = deps;
  numbers({ cooldown, maxAge }, { least: 0 }); // jose would ignore a text
  numbers({ timeout });
  const remote = createRemoteJWKSet(new URL(url), {
    cooldownDuration: cooldown,
    cacheMaxAge: maxAge,
    timeoutDuration: timeout,
    [customFetch]: fetch,
  });
  let failed = -Infinity; // when a fetch last did: jose counts good ones only

  return async function keys(header, token) {
    if (now() - failed >= cooldown) {
      try {
        return await remote(header, token);
      } catch (error) {
        if (OF_THE_TOKEN.some((kind) => error instanceof kind)) throw error;
        failed = now(); // until the cooldown is over, nobody waits for it
      }
    }
    const had = remote.jwks();
    if (!had) throw new Unavailable('no keys yet');
    return createLocalJWKSet(had)(header, token);
  };
}
// --8<-- [end:keys]
