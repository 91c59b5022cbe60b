// --8<-- [start:html]
const CODES = { '&': 38, '<': 60, '>': 62, '"': 34, "'": 39 };
const encode = (text) =>
  String(text).replace(/[&<>"']/g, (c) => `&#${CODES[c]};`);

class Html extends String {}
const shown = (value) =>
  value instanceof Html ? value : encode(value ?? '');

/** Encodes each value that is put into it, unless html`` made it. For text
 * and quoted attributes; not for scripts, styles or what begins a URL. */
export function html(strings, ...values) {
  const parts = values.map((value) =>
    Array.isArray(value) ? value.map(shown).join('') : shown(value),
  );
  return new Html(String.raw({ raw: strings }, ...parts));
}
// --8<-- [end:html]
