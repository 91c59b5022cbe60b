// --8<-- [start:merge]
const isPlain = (value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** A new object with all of `base` and, deeply, of `change`. It has no
 * prototype, so `__proto__` is a name like any other, and nothing that is
 * inherited is ever looked at. Bound the depth first: this recurses. */
export function merge(base, change) {
  const merged = Object.create(null);
  for (const [key, value] of Object.entries(base)) merged[key] = value;
  for (const [key, value] of Object.entries(change)) {
    const own = Object.hasOwn(base, key) && isPlain(base[key]);
    merged[key] = isPlain(value) ? merge(own ? base[key] : {}, value) : value;
  }
  return merged;
}
// --8<-- [end:merge]
