// A logout after one minute: how long is the stolen access token good for?
// On a clock of ours. `series` prints each answer
import { createTokens } from './tokens.mjs';
import { createVerifier } from './verify.mjs';
import { createAuthenticate } from './authenticate.mjs';
import { createSecretKey, randomBytes } from 'node:crypto';

// --8<-- [start:lag]
const secret = createSecretKey(randomBytes(32));
const key = { kid: 'main', alg: 'HS256', private: secret, public: secret };
const keys = new Map([[key.kid, key]]);
const BEGIN = Date.UTC(2026, 0, 1);
const names = { issuer: 'https://auth.shop.test', audience: 'api' };

async function lag(lifetime, list) {
  let time = BEGIN;
  const now = () => time;
  const gone = new Set(); // the list of revoked sessions, if there is one
  const revoked = async ({ sid }) => list && gone.has(sid);
  const deps = { ...names, lifetime, leeway: 0, now };
  const issue = createTokens({ ...deps, key });
  const verify = createVerifier({ ...deps, keys });
  const authenticate = createAuthenticate({ verify, revoked });

  const authorization = `Bearer ${issue({ id: 'cus_ann', sid: 's-1' })}`;
  const logout = BEGIN + 60_000;
  for (; ; time += 1000) {
    if (time === logout) gone.add('s-1');
    const user = await authenticate({ headers: { authorization } });
    if (!user) return (time - logout) / 1000;
  }
}
// --8<-- [end:lag]

for (const lifetime of [300, 900, 3600]) {
  const pure = await lag(lifetime, false);
  const listed = await lag(lifetime, true);
  console.log(
    `${lifetime} s: ${pure} s after logout, ${listed} s with a list`,
  );
}
