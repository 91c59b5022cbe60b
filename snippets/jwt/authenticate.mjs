// --8<-- [start:authenticate]
import { ACCESS, cookieOf } from './cookies.mjs';

/** Gives `authenticate(req)`: `{ id, sid }`, or null. `revoked(claims)` is
 * the price of a logout that counts at once.
 * @param {{ verify: Function, revoked?: Function }} deps */
export function createAuthenticate({ verify, revoked = async () => false }) {
  return async function authenticate(req) {
    const [scheme, given] = req.headers.authorization?.split(' ') ?? [];
    const bearer = /^bearer$/i.test(scheme ?? '') ? given : undefined;
    const claims = await verify(bearer ?? cookieOf(req, ACCESS));
    if (!claims || (await revoked(claims))) return null;
    return { id: claims.sub, sid: claims.sid };
  };
}
// --8<-- [end:authenticate]
