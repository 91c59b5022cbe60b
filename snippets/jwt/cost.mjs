// CPU time of signing and verifying, and of asking Redis, in microseconds.
// Rounds are interleaved: whatever disturbs the machine disturbs them all.
import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import * as jose from 'jose';
import jwt from 'jsonwebtoken';

// --8<-- [start:cost]
const text = randomBytes(32).toString('base64url');
const secret = createSecretKey(Buffer.from(text));
const claims = { sub: 'cus_ann', aud: 'https://api.shop.test', sid: 's-1' };
const pair = (type, options) => {
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  return [privateKey, publicKey];
};
const keys = {
  HS256: [secret, secret],
  ES256: pair('ec', { namedCurve: 'P-256' }),
  RS256: pair('rsa', { modulusLength: 2048 }),
};

/** name -> { sign, verify }, both may be async. */
export function subjects() {
  const found = {};
  const add = (name, sign, verify) => (found[name] = { sign, verify });
  for (const [algorithm, [own, open]] of Object.entries(keys)) {
    const options = { algorithm, expiresIn: 300 };
    const token = jwt.sign(claims, own, options);
    const only = { algorithms: [algorithm] };
    add(
      `jsonwebtoken ${algorithm}`,
      () => jwt.sign(claims, own, options),
      () => jwt.verify(token, open, only),
    );
  }
  const token = jwt.sign(claims, text);
  add(
    'jsonwebtoken HS256, secret as text',
    () => jwt.sign(claims, text),
    () => jwt.verify(token, text),
  );
  return found;
}
// --8<-- [end:cost]

/** The same of jose, whose Web Crypto works in the pool's threads. */
export async function ofJose() {
  const found = {};
  const all = { ...keys, Ed25519: pair('ed25519') };
  for (const [alg, [own, open]] of Object.entries(all)) {
    const sign = () =>
      new jose.SignJWT(claims)
        .setProtectedHeader({ alg })
        .setExpirationTime('5m')
        .sign(own);
    const token = await sign();
    const verify = () => jose.jwtVerify(token, open, { algorithms: [alg] });
    found[`jose ${alg}`] = { sign, verify };
  }
  return found;
}

/** What a request pays to know its user, in three ways that can be revoked
 * or not. `redis` is an ioredis client on loopback. */
export async function lookups(redis) {
  const token = jwt.sign({ ...claims, exp: 2e9 }, secret);
  const sid = randomBytes(16).toString('base64url');
  const seal = (id) => createHmac('sha256', secret).update(id).digest();
  const cookie = seal(sid);
  await redis.set(`session:${sid}`, JSON.stringify(claims));
  const verify = () => jwt.verify(token, secret, { algorithms: ['HS256'] });
  return {
    JWT: verify,
    'JWT and a denylist': async () => {
      verify();
      return redis.exists('revoked:s-1');
    },
    'Redis session': async () => {
      timingSafeEqual(seal(sid), cookie); // a signed cookie, as sessions have
      return JSON.parse(await redis.get(`session:${sid}`));
    },
  };
}

/** Rounds of at least `ms` each; gives, by name, for each round the µs a call:
 * wall time, CPU time of the main thread, and of the whole process. */
export async function measure(tasks, { rounds, ms, atOnce = 1 }) {
  const seen = {};
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, task] of Object.entries(tasks)) {
      const times = await once(task, ms, atOnce);
      if (round > 0) (seen[name] ??= []).push(times); // the first warms up
    }
  }
  return seen;
}

async function once(task, ms, atOnce) {
  const all = process.cpuUsage();
  const main = mainThread();
  const start = performance.now();
  let calls = 0;
  while (performance.now() - start < ms) {
    // several at a time: asking the clock costs something, too
    for (let i = 0; i < 10; i += 1) {
      if (atOnce === 1) await task();
      else await Promise.all(Array.from({ length: atOnce }, () => task()));
    }
    calls += 10 * atOnce;
  }
  const took = performance.now() - start;
  const of = ({ user, system }) => (user + system) / calls;
  return {
    wall: (took * 1000) / calls,
    main: of(mainThread(main)),
    all: of(process.cpuUsage(all)),
  };
}

function mainThread(before) {
  // eslint-disable-next-line n/no-unsupported-features/node-builtins -- 22.19
  return process.threadCpuUsage(before);
}
