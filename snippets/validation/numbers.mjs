// --8<-- [start:numbers]
import { inspect } from 'node:util';

/** What a timer waits, in ms: from 2 ** 31 it fires at once. */
export const WAIT = { least: 0, most: 2 ** 31 - 1 };

/** Throws where a thing is made, and not in its first request, unless each of
 * these options is a whole number from `least` to `most`; with `above`, also
 * a fraction, above that. An environment has text: `now + '5'` is a time that
 * never comes. And nothing exceeds NaN: such a limit refuses nobody. */
export function numbers(options, bounds = {}) {
  const { least = 1, most = Number.MAX_SAFE_INTEGER, above } = bounds;
  const fractions = above !== undefined;
  const from = fractions
    ? `number above ${above}`
    : `whole number, ${least} or more`;
  const to = bounds.most === undefined ? '' : `, ${most} at most`;
  for (const [name, value] of Object.entries(options)) {
    const right = fractions
      ? Number.isFinite(value) && value > above
      : Number.isSafeInteger(value) && value >= least;
    if (right && value <= most) continue;
    const given = inspect(value);
    throw new TypeError(`${name}: not a ${from}${to}, but ${given}`);
  }
}
// --8<-- [end:numbers]
