// --8<-- [start:limits]
import { WAIT, numbers } from '../validation/numbers.mjs';

/** `usual`, with the numbers that `given` has instead. What is no number
 * above 0 throws now, when something is made; so does what no timer takes.
 * @param {Record<string, number>} usual
 * @param {Record<string, any>} given */
export function limitsOf(usual, given) {
  const limits = {};
  for (const name of Object.keys(usual))
    limits[name] = given[name] ?? usual[name];
  numbers(limits, { above: 0, most: WAIT.most });
  return limits;
}
// --8<-- [end:limits]
