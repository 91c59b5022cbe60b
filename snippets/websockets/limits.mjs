// --8<-- [start:limits]
/** `usual`, with the numbers that `given` has instead. What is no number
 * above 0 throws now, when something is made: `size >= NaN` is no limit. */
export function limitsOf(usual, given) {
  const limits = { ...usual };
  for (const name of Object.keys(usual)) {
    limits[name] = given[name] ?? usual[name];
    if (Number.isFinite(limits[name]) && limits[name] > 0) continue;
    throw new TypeError(`${name}: not a number above 0: ${limits[name]}`);
  }
  return limits;
}
// --8<-- [end:limits]
