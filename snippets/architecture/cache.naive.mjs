// --8<-- [start:cache]
/** Keeps what `load(key)` gave, for `ttlMs`. */
export function createCache({ load, ttlMs = 60_000, now = Date.now }) {
  const entries = new Map();
  return async function get(key) {
    const entry = entries.get(key);
    if (entry && now() < entry.until) return entry.value;
    const value = await load(key);
    entries.set(key, { value, until: now() + ttlMs });
    return value;
  };
}
// --8<-- [end:cache]
