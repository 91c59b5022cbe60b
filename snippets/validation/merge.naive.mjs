// --8<-- [start:merge]
/** Puts `source` into `target`, deeply. */
export function merge(target, source) {
  for (const key of Object.keys(source)) {
    const value = source[key];
    const deeper =
      value && typeof value === 'object' && !Array.isArray(value);
    target[key] = deeper ? merge(target[key] ?? {}, value) : value;
  }
  return target;
}
// --8<-- [end:merge]
