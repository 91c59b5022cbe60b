// --8<-- [start:counter]
// Redis runs a script to its end before it looks at another command. The
// expiry comes first: a crash or an error after INCR would leave a key for
// ever.
const COUNT = `
  redis.call('SET', KEYS[1], 0, 'PX', ARGV[1], 'NX')
  return redis.call('INCR', KEYS[1])
`;

/** May this key go on?
 * @param {import('ioredis').Redis} redis @param {string} key
 * @param {{ limit: number, windowMs: number }} limits */
export async function allow(redis, key, { limit, windowMs }) {
  return (await redis.eval(COUNT, 1, key, windowMs)) <= limit;
}
// --8<-- [end:counter]
