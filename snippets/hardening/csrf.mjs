// --8<-- [start:csrf]
import { Problem } from '../rest-apis/problem.mjs';
import { isOrigin } from '../validation/rules.mjs';

const READS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Refuses changes that another site's page asks for, a sibling host's too.
 * Browsers set both headers themselves; no script can. Reads must not
 * change anything, or this is of no use. */
export function fromOurPages(origin) {
  if (!isOrigin(origin)) throw new TypeError(`origin: not ${origin}`);
  return (req, res, next) => {
    // by all browsers of today; older ones send Origin
    const site = req.get('Sec-Fetch-Site');
    const ours = site ? site === 'same-origin' : req.get('Origin') === origin;
    if (READS.has(req.method) || ours) return next();
    throw new Problem(403, 'This form is not of our site.');
  };
}
// --8<-- [end:csrf]
