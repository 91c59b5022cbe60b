// --8<-- [start:demand]
import { inspect } from 'node:util';

export function demand(fulfilled, reason) {
  if (!fulfilled) throw new Error(reason);
}

/** What comes from the environment is text, and `exp + '5'` is a text that
 * no clock reaches. Ask when a thing is made, not when a token is let in. */
export function demandNumbers(numbers, least = 0) {
  for (const [name, value] of Object.entries(numbers)) {
    const right = Number.isSafeInteger(value) && value >= least;
    const wanted = `a whole number, ${least} or more`;
    demand(right, `${name}: not ${wanted}, but ${inspect(value)}`);
  }
}

/** jsonwebtoken does not check what is not set; nor an issuer that is no
 * text, such as a URL object. A pattern would have to be anchored. */
export function demandTexts(texts) {
  for (const [name, value] of Object.entries(texts)) {
    const right = typeof value === 'string' && value !== '';
    demand(right, `${name}: not a text, so it would not be checked`);
  }
}
// --8<-- [end:demand]
