// Every forged token against three verifiers
import {
  createSecretKey,
  generateKeyPairSync,
  randomBytes,
} from 'node:crypto';
import { FORGERIES, kitOf } from './forgeries.mjs';
import { createVerifier as ofJose, fromMap } from './jose.mjs';
import { createVerifier as hardened } from './verify.mjs';
import { createVerifier as naive } from './verify.naive.mjs';

const pair = ({ privateKey, publicKey }) => ({
  private: privateKey,
  public: publicKey,
});
const secret = createSecretKey(randomBytes(64));
const KEYS = {
  HS256: { private: secret, public: secret },
  RS256: pair(generateKeyPairSync('rsa', { modulusLength: 2048 })),
  ES256: pair(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
};

// --8<-- [start:matrix]
const ours = {
  issuer: 'https://auth.shop.test',
  audience: 'https://api.shop.test',
};

const accepts = async (verify, token) => {
  try {
    return (await verify(token)) === null ? '-' : 'TAKEN';
  } catch {
    return '-';
  }
};

const at = Math.floor(Date.now() / 1000);
for (const [alg, list] of Object.entries(FORGERIES)) {
  const key = { alg, kid: 'main', ...KEYS[alg] };
  const kit = kitOf(key, { ...ours, at });
  const keys = new Map([[key.kid, key]]);
  const verifiers = [
    naive({ keys }),
    hardened({ ...ours, keys }),
    ofJose({ ...ours, keys: fromMap(keys), algorithms: [alg] }),
  ];
  const rows = [[`genuine ${alg}`, '', true, () => kit.token()], ...list];
  for (const [name, , , forge] of rows) {
    const token = forge(kit);
    const seen = verifiers.map((verify) => accepts(verify, token));
    const cells = (await Promise.all(seen)).map((cell) => cell.padEnd(6));
    console.log(`${name.padEnd(18)} ${cells.join('')}`.trimEnd());
  }
}
// --8<-- [end:matrix]
