// --8<-- [start:device]
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { DAY } from 'express-rate-limit';

/** A cookie that says: this account has logged in from here before. It opens
 * nothing; it only keeps others from using up this device's attempts. All
 * processes must share the `secret`, of 32 bytes or more. */
export function devicesOf({ secret, account }) {
  const bytes = Buffer.byteLength(secret);
  if (bytes < 32) throw new Error(`secret: ${bytes} bytes, not 32 or more`);

  function sign(id, req) {
    const text = `${id} ${account(req)}`; // of no use for another account
    return createHmac('sha256', secret).update(text).digest('base64url');
  }

  function remember(req, res) {
    const id = randomUUID();
    const safe = { httpOnly: true, secure: true, sameSite: 'strict' };
    const where = { path: '/login', maxAge: 90 * DAY };
    res.cookie('device', `${id}.${sign(id, req)}`, { ...safe, ...where });
  }

  /** The device's id if its cookie is genuine, else null. */
  function known(req) {
    const cookie = /(?:^|; )device=([\w-]{36})\.([\w-]{43})(?:;|$)/;
    const [, id, given] = cookie.exec(req.headers.cookie ?? '') ?? [];
    if (!id) return null;
    const right = Buffer.from(sign(id, req));
    // In constant time, which no test of ours can see from outside.
    return timingSafeEqual(Buffer.from(given), right) ? id : null;
  }
  return { remember, known };
}
// --8<-- [end:device]
