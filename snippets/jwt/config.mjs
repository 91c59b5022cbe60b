// --8<-- [start:config]
import { createHash, createSecretKey } from 'node:crypto';
import { isOrigin } from '../validation/rules.mjs';

/** Reads and checks what tokens need. Call it before you listen: a secret
 * that is missing or weak must stop the deployment, not the first login.
 * A secret is 32 random bytes; of several, joined by commas, the first
 * signs and all are taken.
 * @param {NodeJS.ProcessEnv} env */
export function readConfig(env) {
  const problems = [];
  const keys = secretsOf(env, 'JWT_SECRET', problems).map(keyOf);
  const refresh = secretsOf(env, 'REFRESH_SECRET', problems);
  if (refresh.some((bytes) => keys.some(({ kid }) => kid === idOf(bytes)))) {
    problems.push('REFRESH_SECRET: must not be in JWT_SECRET, too');
  }
  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE']) {
    if (!URL.canParse(env[name])) problems.push(`${name}: not a URL`);
  }
  const origins = (env.ORIGINS ?? '').split(',');
  if (!origins.every(isOrigin)) problems.push('ORIGINS: not origins');
  if (problems.length > 0) throw new Error(problems.join('; '));
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience } = env;
  return { keys, refresh, issuer, audience, origins };
}
// --8<-- [end:config]

// --8<-- [start:secrets]
function secretsOf(env, name, problems) {
  return (env[name] ?? '').split(',').map((text) => {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.toString('base64url') !== text || bytes.length < 32) {
      problems.push(`${name}: not 32 bytes or more in base64url`);
    } else if (new Set(bytes).size < 16) {
      problems.push(`${name}: repeats itself, so it is not random`);
    }
    return bytes;
  });
}

/** The same in every process; 48 bits of a hash help nobody to 32 bytes. */
function idOf(secret) {
  const hash = createHash('sha256').update(secret).digest('base64url');
  return hash.slice(0, 8);
}

function keyOf(secret) {
  const both = createSecretKey(secret); // a key, not text: parsed once
  return { kid: idOf(secret), alg: 'HS256', private: both, public: both };
}
// --8<-- [end:secrets]
