// --8<-- [start:config]
import { createSecretKey, hkdfSync } from 'node:crypto';

/** Reads and checks what tokens need. Call it before you listen: a secret
 * that is missing or weak must stop the deployment, not the first login. */
export function readConfig(env) {
  const bytes = Buffer.from(env.JWT_SECRET ?? '', 'base64url');
  const problems = [];
  if (bytes.toString('base64url') !== env.JWT_SECRET || bytes.length < 32) {
    problems.push('JWT_SECRET: not 32 bytes or more in base64url');
  } else if (new Set(bytes).size < 16) {
    problems.push('JWT_SECRET: repeats itself, so it is not random');
  }
  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE']) {
    if (!URL.canParse(env[name])) problems.push(`${name}: not a URL`);
  }
  if (problems.length > 0) throw new Error(problems.join('; '));
  const both = createSecretKey(bytes); // a key, not text: parsed once
  return {
    key: { kid: 'main', alg: 'HS256', private: both, public: both },
    // one secret, two purposes, two keys
    refresh: Buffer.from(hkdfSync('sha256', bytes, '', 'refresh', 32)),
    issuer: env.JWT_ISSUER,
    audience: env.JWT_AUDIENCE,
  };
}
// --8<-- [end:config]
