// --8<-- [start:keys]
import { createLocalJWKSet, errors } from 'jose';

export function createKeys({ url, fetch = globalThis.fetch }) {
  let find;
  return async (header, token) => {
    const from = header.jku ?? url; // the standard has a header for it
    if (!header.jku && find) {
      try {
        return await find(header, token);
      } catch (error) {
        // a key that we don't know: there must have been a rotation
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
    }
    find = createLocalJWKSet(await (await fetch(from)).json());
    return find(header, token);
  };
}
// --8<-- [end:keys]
