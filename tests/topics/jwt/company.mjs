// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { memoryStore as sessionsInMemory } from '../../../snippets/jwt/stores.mjs';
import {
  JSON_TYPE,
  asked,
  behind,
  get,
  json,
  redisInMemory,
} from '../../guide/company/helpers.mjs';

const hs256 = () => {
  const key = createSecretKey(randomBytes(32));
  return { kid: 'main', alg: 'HS256', private: key, public: key };
};

const names = {
  issuer: 'https://shop.test',
  audience: 'https://api.shop.test',
};

const claims = { sub: 'ann', sid: 's' };

/** Well formed, and signed by nobody whom we know. */
function forged() {
  const text = (value) =>
    Buffer.from(JSON.stringify(value)).toString('base64url');
  const content = `${text({ alg: 'HS256', kid: 'main', typ: 'at+jwt' })}.${text(claims)}`;
  const mac = createHmac('sha256', 'x').update(content).digest('base64url');
  return `${content}.${mac}`;
}

export const recipes = {
  'jwt/client.mjs#createClient': {
    deps: () => ({
      refresh: async () => true,
      fetch: async () => new Response('ok'),
    }),
    use: async (ask) =>
      ask('http://a.test/').then(
        ({ status }) => status,
        () => 'no answer',
      ),
  },
  'jwt/dpop.mjs#createDpop': {
    make: (createDpop, deps) =>
      createDpop({ origin: 'https://api.shop.test', ...deps }),
    use: (holds) =>
      holds({ get: () => 'x', method: 'GET', originalUrl: '/' }, 't', {}),
    numbers: { maxAge: 60, leeway: 5, most: 10 },
  },
  'jwt/not-before.mjs#createNotBefore': {
    deps: () => ({
      redis: { get: async () => null, set: async () => 'OK' },
      lifetime: 300,
      cacheMs: 0,
      patienceMs: 100,
    }),
    use: async ({ end, revoked }) => {
      const failed = ({ status }) => status;
      await end('ann').catch(failed);
      return revoked({ sub: 'bob', iat: 1 }).catch(failed);
    },
    deadline: 1000,
    numbers: { lifetime: 300, patienceMs: 100, most: 10 },
  },
  'jwt/app.mjs#createApp': {
    deps: () => ({
      issue: async () => 'token',
      sessions: {
        start: async () => ({ user: 'ann', sid: 's', token: 't' }),
        rotate: async () => ({ user: 'ann', sid: 's', token: 't' }),
        end: async () => 's',
      },
      authenticate: async () => ({ id: 'ann' }),
      revoke: async () => {},
      check: async () => ({ id: 'ann' }),
      origins: ['https://shop.test'],
    }),
    requests: [
      json('/login', { email: 'a@b.test', password: 'x' }, 204, {
        asks: 'check',
        headers: { Origin: 'https://shop.test' },
      }),
      {
        method: 'POST',
        path: '/refresh',
        headers: { Origin: 'https://shop.test' },
        status: 204,
      },
      {
        method: 'POST',
        path: '/logout',
        headers: { Origin: 'https://shop.test' },
        status: 204,
      },
      get('/me', 200, asked),
    ],
  },
  'jwt/authenticate.mjs#createAuthenticate': {
    deps: () => ({ verify: async () => claims, revoked: async () => false }),
    use: async (authenticate) =>
      (await authenticate({ headers: { authorization: 'Bearer x' } }))?.id,
  },
  'jwt/tokens.mjs#createTokens': {
    deps: () => ({ key: hs256(), ...names }),
    use: async (issue) =>
      (await issue({ id: 'ann', sid: 's' })).split('.').length,
    numbers: { lifetime: 300 },
  },
  'jwt/jose.mjs#createTokens': {
    deps: () => ({ key: hs256(), ...names }),
    use: async (issue) =>
      (await issue({ id: 'ann', sid: 's' })).split('.').length,
    numbers: { lifetime: 300 },
  },
  'jwt/verify.mjs#createVerifier': {
    deps: () => ({ keys: new Map(), ...names, refused: async () => {} }),
    use: (verify) => verify('e30.e30.x'),
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/jose.mjs#createVerifier': {
    deps: () => ({
      keys: async () => hs256().public,
      algorithms: ['HS256'],
      ...names,
      refused: async () => {},
    }),
    use: (verify) => verify(forged()),
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/keys.mjs#createKeys': {
    deps: () => ({
      url: 'https://issuer.test/jwks',
      timeout: 500,
      cooldown: 0,
      fetch: async () => new Response('{"keys":[]}', { headers: JSON_TYPE }),
    }),
    use: (keys) => keys({ kid: 'x', alg: 'ES256' }, {}),
    deadline: true,
    numbers: { cooldown: 1000, maxAge: 1000, timeout: 1000 },
  },
  'jwt/refresh.mjs#createSessions': {
    deps: () => ({
      store: sessionsInMemory(),
      secret: randomBytes(32),
      reused: async () => {},
    }),
    use: async (sessions) => {
      const { token } = await sessions.start('ann');
      return (await sessions.rotate(token))?.user;
    },
    numbers: { grace: 1000 },
  },
  'jwt/revocations.mjs#createRevocations': {
    deps: () => ({ redis: redisInMemory() }),
    use: async ({ revoke, revoked }) => {
      await revoke('s');
      return revoked({ sid: 's' });
    },
    numbers: { lifetime: 300, leeway: 5 },
  },
  'jwt/ring.mjs#createKeyRing': {
    deps: () => ({ ahead: 1000, lifetime: 1000 }),
    use: async (ring) => ring.jwks().keys.length,
    numbers: { ahead: 1000, lifetime: 1000 },
  },
  'jwt/stores.mjs#memoryStore': {
    use: async (store) => store.end('s'),
    numbers: { life: 1000 },
  },
  'jwt/stores.mjs#redisStore': {
    deps: () => ({ redis: redisInMemory() }),
    make: (redisStore, { redis, ...rest }) => redisStore(redis, rest),
    use: async (store) => store.end('s'),
    numbers: { life: 1000 },
  },
  'jwt/shop.mjs#createApp': {
    deps: () => ({
      env: {
        JWT_SECRET: randomBytes(32).toString('base64url'),
        REFRESH_SECRET: randomBytes(32).toString('base64url'),
        JWT_ISSUER: names.issuer,
        JWT_AUDIENCE: names.audience,
        ORIGINS: 'https://shop.test',
      },
      check: async () => ({ id: 'ann' }),
    }),
    requests: [
      json('/login', { email: 'a@b.test', password: 'x' }, 204, {
        asks: 'check',
        headers: { Origin: 'https://shop.test' },
      }),
      get('/me', 401),
    ],
  },
  'jwt/cookies.mjs#fromOurOrigins': {
    make: (fromOurOrigins) => behind(fromOurOrigins(['https://shop.test'])),
    requests: [get('/', 204)],
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    jwt/config.mjs#readConfig
    jwt/cookies.mjs#clearCookies
    jwt/cookies.mjs#cookieOf
    jwt/cookies.mjs#setCookies
    jwt/demand.mjs#demand
    jwt/demand.mjs#demandTexts
    jwt/form.mjs#wellFormed
    jwt/jose.mjs#fromMap
    jwt/unavailable.mjs#away
  `,
  'measures, attacks or shows a fault: no page says to take it': `
    jwt/cost.mjs#lookups
    jwt/cost.mjs#measure
    jwt/cost.mjs#ofJose
    jwt/cost.mjs#subjects
    jwt/crack.mjs#candidates
    jwt/crack.mjs#crack
    jwt/crack.mjs#speed
    jwt/forgeries.mjs#kitOf
  `,
};
