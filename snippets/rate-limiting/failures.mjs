// --8<-- [start:failures]
import { createHash } from 'node:crypto';
import { DAY, HOUR, MINUTE } from 'express-rate-limit';
import { ipKeyGenerator, rateLimit } from 'express-rate-limit';

export const account = (req) => req.body.email.trim().toLowerCase();
const address = (req) => ipKeyGenerator(req.ip ?? '::');
const sha256 = (text) =>
  createHash('sha256').update(text).digest('base64url');

const LIMITS = {
  pair: [5, 15 * MINUTE, (req) => `${account(req)} ${address(req)}`],
  account: [50, HOUR, account], // from many addresses
  address: [100, DAY, address], // at many accounts
};

/** Limits of failed logins. A device from which this account has logged in
 * before is counted by itself, so that nobody else can lock it out.
 * @param {{ store: Function, known: Function }} deps */
export function failureLimits({ store, known }) {
  return Object.entries(LIMITS).map(([name, [limit, windowMs, who]]) =>
    rateLimit({
      windowMs,
      limit,
      store: store(name),
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      message: { error: 'too many attempts' },
      // hashed: no e-mail addresses in Redis, and keys of one length
      keyGenerator: (req) => sha256(known(req) ?? who(req)),
      // Each is counted before its password is looked at, and uncounted after
      // any answer but 401: a hundred at once don't get past it.
      skipSuccessfulRequests: true,
      requestWasSuccessful: (req, res) => res.statusCode !== 401,
    }),
  );
}
// --8<-- [end:failures]
