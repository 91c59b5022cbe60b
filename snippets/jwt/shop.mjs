// JWT_SECRET=… REFRESH_SECRET=… JWT_ISSUER=… JWT_AUDIENCE=…
// ORIGINS=https://shop.test REDIS_URL=… node serve.mjs jwt/shop.mjs
// --8<-- [start:shop]
import { connect } from '../rate-limiting/connect.mjs';
import { createApp as createAuthApp } from './app.mjs';
import { createAuthenticate } from './authenticate.mjs';
import { readConfig } from './config.mjs';
import { createSessions } from './refresh.mjs';
import { createRevocations } from './revocations.mjs';
import { memoryStore, redisStore } from './stores.mjs';
import { createTokens } from './tokens.mjs';
import { createVerifier } from './verify.mjs';

/** All of the chapter in one app. Throws when it is not configured.
 * @param {{ check?: Function, env?: NodeJS.ProcessEnv, limits?: Function[],
 *   signal?: AbortSignal, logger?: Console, refused?: Function }} deps */
export async function createApp(deps = {}) {
  const { env = process.env, signal, logger, refused, ...rest } = deps;
  const { keys, refresh, origins, ...names } = readConfig(env);
  const byKid = new Map(keys.map((key) => [key.kid, key]));
  const times = { lifetime: 300, leeway: 5 }; // as one, or they disagree
  const verify = createVerifier({ ...names, ...times, keys: byKid, refused });
  const issue = createTokens({ ...names, ...times, key: keys[0] });

  const url = env.REDIS_URL;
  const redis = url ? await connect({ url, signal, logger }) : undefined;
  const { revoke, revoked } = createRevocations({ ...times, redis });
  const sessions = createSessions({
    store: redis ? redisStore(redis) : memoryStore(),
    secret: refresh,
    reused: (user, sid) => revoke(sid), // the access token of the thief
  });
  const authenticate = createAuthenticate({ verify, revoked });
  const own = { issue, sessions, authenticate, revoke, origins, logger };
  return createAuthApp({ ...own, ...rest });
}
// --8<-- [end:shop]
