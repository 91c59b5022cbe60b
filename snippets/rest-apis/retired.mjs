import { Problem } from './problem.mjs';

// --8<-- [start:retired]
/** Middleware above an old version: says since when it is deprecated and when
 * it ends, counts who still asks, and answers 410 in a brownout and after the
 * end. Times are Dates; `brownouts` are pairs of them.
 * @param {{ since: Date, sunset: Date, link: string, count: Function,
 *   brownouts?: [Date, Date][], now?: () => number }} deps */
export function retired({ since, sunset, link, count, ...deps }) {
  const { brownouts = [], now = Date.now } = deps;
  const times = [since, sunset, ...brownouts.flat()];
  if (!times.every((time) => time instanceof Date && time > 0))
    throw new TypeError('since, sunset, brownouts: not a Date');
  const headers = {
    Deprecation: `@${Math.floor(since.getTime() / 1000)}`,
    Sunset: sunset.toUTCString(),
    Link: `<${link}>; rel="deprecation"; type="text/html"`,
  };
  return (req, res, next) => {
    // by client: whom to write to; a count that fails costs no answer
    Promise.try(count, req).catch(() => {});
    res.set(headers);
    const dark = brownouts.some(([a, b]) => a <= now() && now() < b);
    if (dark || now() >= sunset.getTime())
      return next(new Problem(410, `See ${link}.`, { headers }));
    return next();
  };
}
// --8<-- [end:retired]
