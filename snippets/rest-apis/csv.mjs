// --8<-- [start:csv]
/** A field of a CSV file, quoted. A text that a spreadsheet would take for a
 * formula gets an apostrophe in front: it is shown and not executed.
 * @param {any} value */
export function csvField(value) {
  const text = String(value ?? '');
  const formula = typeof value !== 'number' && /^\s*[=+\-@\t\r]/.test(text);
  return `"${(formula ? `'${text}` : text).replaceAll('"', '""')}"`;
}
// --8<-- [end:csv]
