// --8<-- [start:demand]
export function demand(fulfilled, reason) {
  if (!fulfilled) throw new Error(reason);
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
