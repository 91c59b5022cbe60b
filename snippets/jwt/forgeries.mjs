// Tokens that must not pass. Each entry: [name, what it forges, whether the
// naive verifier takes it, (kit) => token]. A kit is one of our keys with a
// genuine header and claims; `seal` signs whatever it is given.
// --8<-- [start:kit]
import { constants, createHmac, sign } from 'node:crypto';

const b64 = (value) => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(text).toString('base64url');
};

function signature(alg, text, key) {
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith('HS'))
    return createHmac(hash, key).update(text).digest();
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const pss = { padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  const options = alg.startsWith('PS') ? pss : { dsaEncoding: 'ieee-p1363' };
  return sign(hash, Buffer.from(text), { key, ...options });
}

export function kitOf(key, { issuer, audience, at }) {
  const header = { alg: key.alg, kid: key.kid, typ: 'at+jwt' };
  const claims = { iss: issuer, aud: audience, sub: 'cus_ann', jti: 'j-1' };
  Object.assign(claims, { sid: 's-1', iat: at, exp: at + 300 });
  function seal(head, body, secret = key.private) {
    const text = `${b64(head)}.${b64(body)}`;
    const bytes = signature(head.alg ?? key.alg, text, secret);
    return `${text}.${bytes.toString('base64url')}`;
  }
  // changes to the header, to the claims; undefined removes one
  const token = (head, body, secret) =>
    seal({ ...header, ...head }, { ...claims, ...body }, secret);
  return { key, at, header, claims, seal, token };
}
const parts = (kit) => kit.token().split('.');
const unsigned = (kit, alg) =>
  `${b64({ ...kit.header, alg })}.${b64(kit.claims)}`;
// --8<-- [end:kit]

// --8<-- [start:algorithms]
const no = false;
const TAKEN = true; // by the naive verifier

const algorithms = [
  ['none', 'unsigned', no, (k) => `${unsigned(k, 'none')}.`],
  ['None', 'unsigned, capital', no, (k) => `${unsigned(k, 'None')}.`],
  [
    'none, a signature',
    'unsigned, looks signed',
    no,
    (k) => `${unsigned(k, 'none')}.${parts(k)[2]}`,
  ],
  ['none, two parts', 'unsigned', no, (k) => unsigned(k, 'none')],
  ['no alg', 'no algorithm', no, (k) => k.token({ alg: undefined })],
  ['HS384', 'another algorithm', TAKEN, (k) => k.token({ alg: 'HS384' })],
  ['HS512', 'another algorithm', TAKEN, (k) => k.token({ alg: 'HS512' })],
  ['wrong secret', 'signature', no, (k) => k.token({}, {}, 'secret')],
  ['empty secret', 'signature', no, (k) => k.token({}, {}, '')],
];

const hmac = { alg: 'HS256' };
const pem = { format: 'pem', type: 'spki' };
const der = { format: 'der', type: 'spki' };
const rsa = [
  ['RS512', 'another algorithm', TAKEN, (k) => k.token({ alg: 'RS512' })],
  ['PS256', 'another algorithm', TAKEN, (k) => k.token({ alg: 'PS256' })],
  [
    'HMAC by public PEM',
    'algorithm confusion',
    no,
    (k) => k.token(hmac, {}, k.key.public.export(pem)),
  ],
  [
    'HMAC by public DER',
    'algorithm confusion',
    no,
    (k) => k.token(hmac, {}, k.key.public.export(der)),
  ],
];
// --8<-- [end:algorithms]

const cut = (text) => text.slice(0, -4);
/** The same bytes: the last character's spare bits are not zero. */
function respelled(text) {
  const letters =
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + letters[letters.indexOf(text.at(-1)) + 1];
}
const spare = [
  'signature respelt',
  'spare bits of base64url',
  TAKEN, // one token has many texts: a list of revoked texts is no use
  (k) => respelled(k.token()),
];

const zeros = Buffer.alloc(64).toString('base64url');
const ec = [
  ['zero signature', 'r = s = 0', no, (k) => `${cutOff(k)}.${zeros}`],
  [
    'DER signature',
    'another encoding',
    no,
    (k) => {
      const bytes = sign('sha256', Buffer.from(cutOff(k)), k.key.private);
      return `${cutOff(k)}.${bytes.toString('base64url')}`;
    },
  ],
];
const cutOff = (k) => parts(k).slice(0, 2).join('.');

const signatures = [
  [
    'claims changed',
    'subject, signature kept',
    no,
    (k) =>
      `${parts(k)[0]}.${b64({ ...k.claims, sub: 'cus_bob' })}.${parts(k)[2]}`,
  ],
  [
    "another token's",
    'signature',
    no,
    (k) => `${cutOff(k)}.${k.token({}, { sub: 'cus_bob' }).split('.')[2]}`,
  ],
  ['cut short', 'signature', no, (k) => cut(k.token())],
  ['no signature', 'signature', no, (k) => `${cutOff(k)}.`],
  ['white space', 'a line feed at the end', no, (k) => `${k.token()}\n`],
  ['five parts', 'looks encrypted', no, (k) => `${k.token()}.AA.AA`],
];

const extension = { crit: ['exp2'], exp2: 0 };
const raw = { b64: false, crit: ['b64'] };
const headers = [
  ['ID token', 'kind of token', TAKEN, (k) => k.token({ typ: 'JWT' })],
  [
    'reset link',
    'kind of token',
    TAKEN,
    (k) => k.token({ typ: 'reset+jwt' }),
  ],
  ['no typ', 'kind of token', TAKEN, (k) => k.token({ typ: undefined })],
  ['no kid', 'key', TAKEN, (k) => k.token({ kid: undefined })],
  ['crit', 'extension we lack', TAKEN, (k) => k.token(extension)],
  ['b64 false', 'unencoded payload', TAKEN, (k) => k.token(raw)],
];

const keys = [
  [
    'kid /dev/null',
    'key, by path',
    no,
    (k) => k.token({ kid: '../../dev/null' }, {}, ''),
  ],
  [
    'kid in SQL',
    'key, by query',
    no,
    (k) => k.token({ kid: "' UNION SELECT 'x" }, {}, 'x'),
  ],
  [
    'kid __proto__',
    'key, by property',
    no,
    (k) => k.token({ kid: '__proto__' }, {}, '[object Object]'),
  ],
  [
    'jwk',
    'brings its own key',
    no,
    (k) => k.token({ jwk: { kty: 'oct', k: b64('mine') } }, {}, 'mine'),
  ],
  [
    'jku',
    'says where the key is',
    no,
    (k) => k.token({ jku: 'https://evil.test/jwks' }, {}, 'mine'),
  ],
];

// --8<-- [start:claims]
const claims = [
  ['expired', 'time', no, (k) => k.token({}, { exp: k.at - 60 })],
  ['exp as text', 'time', no, (k) => k.token({}, { exp: `${k.at + 300}` })],
  ['no exp', 'lifetime', TAKEN, (k) => k.token({}, { exp: undefined })],
  [
    'exp in ms',
    'lifetime',
    TAKEN,
    (k) => k.token({}, { iat: k.at - 900, exp: (k.at + 300) * 1000 }),
  ],
  [
    'a year long',
    'lifetime',
    TAKEN,
    (k) => k.token({}, { iat: k.at - 900, exp: k.at + 31_536_000 }),
  ],
  ['not yet', 'time', no, (k) => k.token({}, { nbf: k.at + 60 })],
  ['iat tomorrow', 'time', TAKEN, (k) => k.token({}, { iat: k.at + 86_400 })],
  ['no iat', 'time', TAKEN, (k) => k.token({}, { iat: undefined })],
  ['iat as text', 'time', TAKEN, (k) => k.token({}, { iat: `${k.at}` })],
  [
    'other audience',
    'service',
    TAKEN,
    (k) => k.token({}, { aud: 'https://files.shop.test' }),
  ],
  ['no audience', 'service', TAKEN, (k) => k.token({}, { aud: undefined })],
  [
    'audience and more',
    'service',
    TAKEN,
    (k) => k.token({}, { aud: `${k.claims.aud}.evil.test` }),
  ],
];
// --8<-- [end:claims]

const people = [
  [
    'other issuer',
    'issuer',
    TAKEN,
    (k) => k.token({}, { iss: 'https://evil.test' }),
  ],
  ['no issuer', 'issuer', TAKEN, (k) => k.token({}, { iss: undefined })],
  [
    'issuers in a list',
    'issuer',
    TAKEN,
    (k) => k.token({}, { iss: [k.claims.iss] }),
  ],
  ['no subject', 'user', TAKEN, (k) => k.token({}, { sub: undefined })],
  ['subject empty', 'user', TAKEN, (k) => k.token({}, { sub: '' })],
  ['subject object', 'user', TAKEN, (k) => k.token({}, { sub: { ne: 0 } })],
  ['payload text', 'user', TAKEN, (k) => k.seal(k.header, '"cus_ann"')],
  ['payload null', 'user', TAKEN, (k) => k.seal(k.header, 'null')],
  ['payload no JSON', 'user', TAKEN, (k) => k.seal(k.header, 'cus_ann')],
  ['64 kB', 'size', TAKEN, (k) => k.token({}, { x: 'x'.repeat(65_536) })],
];

/** All of them, by the kind of key that they are aimed at. */
export const FORGERIES = {
  HS256: [
    ...algorithms,
    ...signatures,
    ...headers,
    ...keys,
    ...claims,
    ...people,
  ],
  RS256: [...rsa, spare],
  ES256: ec,
};
