// JWT_SECRET=… JWT_ISSUER=… JWT_AUDIENCE=… ORIGINS=https://shop.test
// REDIS_URL=… node serve.mjs jwt/shop.mjs
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

/** All of the chapter in one app. Throws when it is not configured. */
export async function createApp(deps = {}) {
  const { env = process.env, signal, ...rest } = deps;
  const { key, refresh, ...names } = readConfig(env);
  const url = env.REDIS_URL;
  const redis = url ? await connect({ url, signal }) : undefined;
  const store = redis ? redisStore(redis) : memoryStore();
  const { revoke, revoked } = createRevocations({ redis });
  const keys = new Map([[key.kid, key]]);
  const verify = createVerifier({ ...names, keys });
  return createAuthApp({
    issue: createTokens({ ...names, key }),
    sessions: createSessions({
      store,
      secret: refresh,
      reused: (user, sid) => revoke(sid), // the access token of the thief
    }),
    authenticate: createAuthenticate({ verify, revoked }),
    revoke,
    origins: (env.ORIGINS ?? '').split(','),
    ...rest,
  });
}
// --8<-- [end:shop]
