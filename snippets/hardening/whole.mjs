// --8<-- [start:whole]
/** Throws where a module is made, and not in its first request, if one of
 * these is no whole number from 1: text, as an environment has it, or NaN. */
export function whole(numbers) {
  for (const [name, value] of Object.entries(numbers))
    if (!Number.isSafeInteger(value) || value < 1)
      throw new TypeError(`${name}: a whole number from 1`);
}
// --8<-- [end:whole]
