// --8<-- [start:cookies]
// With `__Host-` a browser takes the cookie only if it is Secure, for all
// paths, and from this very host: a subdomain cannot plant one.
export const ACCESS = '__Host-access';
export const REFRESH = '__Host-refresh';
const safe = { httpOnly: true, secure: true, sameSite: 'strict', path: '/' };

/** @param {import('express').Response} res
 * @param {{ access: string, refresh: string, life: number }} tokens */
export function setCookies(res, { access, refresh, life }) {
  res.cookie(ACCESS, access, safe); // gone with the browser, or its `exp`
  res.cookie(REFRESH, refresh, { ...safe, maxAge: life });
}

/** @param {import('express').Response} res */
export function clearCookies(res) {
  for (const name of [ACCESS, REFRESH]) res.clearCookie(name, safe);
}

/** @param {import('express').Request} req @param {string} name */
export function cookieOf(req, name) {
  for (const pair of (req.headers.cookie ?? '').split('; ')) {
    if (pair.startsWith(`${name}=`)) return pair.slice(name.length + 1);
  }
  return undefined;
}
// --8<-- [end:cookies]

// --8<-- [start:guard]
import { isOrigin } from '../validation/rules.mjs';
import { demand } from './demand.mjs';

/** Refuses changes that a page of another origin asks for. SameSite alone
 * lets subdomains ask. A bearer token no browser sends by itself, and who
 * sends neither that nor an Origin is no browser.
 * @param {string[]} origins */
export function fromOurOrigins(origins) {
  // a text would include every part of itself: https://shop.co for .com
  const right = Array.isArray(origins) && origins.every(isOrigin);
  demand(right, 'origins: not a list of texts such as https://shop.test');
  return (req, res, next) => {
    const { authorization = '', origin } = req.headers;
    const reads = req.method === 'GET' || req.method === 'HEAD';
    const ours = /^bearer /i.test(authorization) || origins.includes(origin);
    return reads || ours ? next() : res.sendStatus(403);
  };
}
// --8<-- [end:guard]
