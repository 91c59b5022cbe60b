// --8<-- [start:rules]
// What a value is for decides what it may be. None of these lists attacks.

/** A name that people compare: few characters, so no two look alike. */
export const HANDLE = /^[a-z][a-z0-9-]{1,28}[a-z0-9]$/;

/** Something visible on both sides of an @: the mail that arrives proves the
 * rest. */
export const EMAIL = /^[^\s@"\p{C}]{1,64}@[^\s@"\p{C}]{1,189}$/u;

/** A line of well-formed Unicode, in any script: no control characters, no
 * half of a surrogate pair, nothing that begins another line. */
export const LINE = /^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/** The same over several lines. */
export const TEXT = /^(?:[^\p{Cc}\p{Cs}]|[\t\r\n])*$/u;

export function isHttps(text) {
  const url = URL.parse(text);
  return url?.protocol === 'https:' && !url.username && !url.password;
}
// --8<-- [end:rules]

/** As a browser's `Origin`: no path, and no slash at the end. */
export const isOrigin = (text) =>
  typeof text === 'string' &&
  URL.canParse(text) &&
  new URL(text).origin === text;
