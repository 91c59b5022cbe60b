// --8<-- [start:form]
/** Whether a text can be a token of ours. Decoders are generous: jose skips
 * white space, and both libraries skip the spare bits that the signature's
 * last character may carry. Many texts, one token: of those we take one. */
export function wellFormed(token) {
  if (typeof token !== 'string' || token.length > 4096) return false;
  const form = /^[\w-]{1,4000}\.[\w-]{1,4000}\.([\w-]{1,1400})$/;
  const [, signature] = form.exec(token) ?? [];
  const bytes = Buffer.from(signature ?? '', 'base64url');
  return signature === bytes.toString('base64url');
}
// --8<-- [end:form]
