// --8<-- [start:counter]
// Redis runs a script to its end before it looks at another command. The
// expiry is in it too: a crash after INCR alone would leave a key for ever.
const COUNT = `
  local used = redis.call('INCR', KEYS[1])
  if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
  return used
`;

/** May this key go on? */
export async function allow(redis, key, { limit, windowMs }) {
  return (await redis.eval(COUNT, 1, key, windowMs)) <= limit;
}
// --8<-- [end:counter]
