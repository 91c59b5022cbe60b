// --8<-- [start:stores]
import { Redis } from 'ioredis';
import { RedisStore } from 'rate-limit-redis';

export async function stores({ url, signal, ...options }) {
  const redis = new Redis(url, options);
  redis.on('error', (error) => console.error(error.message));
  signal?.addEventListener('abort', () => redis.disconnect());
  const sendCommand = (...args) => redis.call(...args);
  return (name) => new RedisStore({ prefix: `rl:${name}:`, sendCommand });
}
// --8<-- [end:stores]
