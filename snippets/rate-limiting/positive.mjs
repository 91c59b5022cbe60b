// --8<-- [start:positive]
/** Throws unless each is a number above zero. An environment gives text, and
 * a limit that is not a number refuses nobody: nothing exceeds NaN. */
export function positive(numbers) {
  for (const [name, value] of Object.entries(numbers)) {
    if (Number.isFinite(value) && value > 0) continue;
    const given = typeof value === 'string' ? `'${value}'` : value;
    throw new TypeError(`${name}: must be a number above 0, not ${given}`);
  }
}
// --8<-- [end:positive]
