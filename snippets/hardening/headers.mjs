// --8<-- [start:headers]
import helmet from 'helmet';
import { randomBytes } from 'node:crypto';

const nonce = (req, res) => `'nonce-${res.locals.nonce}'`;
const POLICY = {
  'default-src': ["'none'"],
  'script-src': [nonce], // what has not this response's nonce does not run
  'style-src': [nonce],
  'img-src': ["'self'"],
  'connect-src': ["'self'"],
  'form-action': ["'self'"],
  'base-uri': ["'none'"], // or <base> moves our own scripts elsewhere
  'frame-ancestors': ["'none'"],
  'report-uri': ['/csp-reports'],
};
const MINUTES = { maxAge: 300, includeSubDomains: false };

/** Helmet with a policy by nonce, which is `res.locals.nonce` to views.
 * For the roll-out, `reportOnly` stops nothing and reports all, and HSTS is
 * five minutes, for this host, where `hsts` does not say more. */
export function headers({ reportOnly = false, hsts = {} } = {}) {
  if (typeof reportOnly !== 'boolean')
    throw new TypeError('reportOnly: a boolean'); // 'false' stops nothing
  const send = helmet({
    contentSecurityPolicy: {
      directives: POLICY,
      useDefaults: false, // they'd add 'unsafe-inline' styles, any https font
      reportOnly,
    },
    // Helmet's own 'no-referrer' makes browsers send `Origin: null`
    referrerPolicy: { policy: 'same-origin' },
    strictTransportSecurity: hsts && { ...MINUTES, ...hsts },
    xFrameOptions: { action: 'deny' },
  });
  return (req, res, next) => {
    res.locals.nonce = randomBytes(16).toString('base64url');
    res.set('Cache-Control', 'no-store'); // a nonce is for one answer
    send(req, res, next);
  };
}
// --8<-- [end:headers]
