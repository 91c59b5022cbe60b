// --8<-- [start:patch]
/** What a JSON Merge Patch (RFC 7396) makes of the content of an order: null
 * takes a field away, a list is replaced as a whole, and what is no object is
 * itself the result. So the result is to be parsed, not the patch. */
export function mergePatch({ items, note } = {}, patch) {
  const object = typeof patch === 'object' && !Array.isArray(patch);
  if (!object || patch === null) return patch;
  const merged = { items, note, ...patch };
  for (const [name, value] of Object.entries(merged)) {
    if (value === null) delete merged[name];
  }
  return merged;
}
// --8<-- [end:patch]
