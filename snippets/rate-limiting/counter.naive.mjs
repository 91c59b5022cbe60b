// --8<-- [start:counter]
/** May this key go on? Read, compare, write: others come in between. */
export async function allow(redis, key, { limit, windowMs }) {
  const used = Number(await redis.get(key));
  if (used >= limit) return false;
  await redis.set(key, used + 1, 'PX', windowMs);
  return true;
}
// --8<-- [end:counter]
