// --8<-- [start:parser]
const LIMIT = 20; // errors in an answer: no amplifier

/** `parse(input)` gives `{ value }`, or `{ errors }` as RFC 9457 shows them,
 * each with a JSON Pointer (RFC 6901) as a URI fragment. */
export function parserOf(schema) {
  return function parse(input) {
    const { success, data, error } = schema.safeParse(input);
    if (success) return { value: data };
    return { errors: error.issues.flatMap(described).slice(0, LIMIT) };
  };
}

function described({ code, path, message, keys }) {
  if (code !== 'unrecognized_keys') {
    return [{ pointer: pointer(path), detail: message }];
  }
  const unknown = (key) => ({
    pointer: pointer([...path, key]),
    detail: 'Unknown field',
  });
  return keys.slice(0, LIMIT).map(unknown);
}

export function pointer(path) {
  // a client chose these names: half a surrogate pair cannot be encoded, and
  // the answer must not grow with them
  const part = (name) => String(name).slice(0, 100).toWellFormed();
  const escaped = (name) => name.replaceAll('~', '~0').replaceAll('/', '~1');
  const parts = path.map((name) => encodeURIComponent(escaped(part(name))));
  return ['#', ...parts].join('/');
}
// --8<-- [end:parser]
