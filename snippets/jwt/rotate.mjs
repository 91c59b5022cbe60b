// Twenty people, tokens of five minutes, a new signing key after ten: how
// many requests are refused? On a clock of ours. `series`: minute by minute
import { createTokens, createVerifier } from './jose.mjs';
import { createKeys } from './keys.mjs';
import { createKeyRing } from './ring.mjs';
import { createKeyRing as createNaiveRing } from './ring.naive.mjs';

// --8<-- [start:rotate]
const ours = {
  issuer: 'https://auth.shop.test',
  audience: 'https://api.shop.test',
};
const MINUTE = 60_000;
let time = 0;
Date.now = () => time; // jose asks it, too

async function day(name, ring) {
  time = 0;
  await ring.add('old');
  const fetch = async () => Response.json(ring.jwks());
  const url = 'https://auth.shop.test/jwks';
  const algorithms = ['ES256'];
  const keys = createKeys({ url, fetch });
  const verify = createVerifier({ ...ours, keys, algorithms });
  const issue = (id) =>
    createTokens({ ...ours, key: ring.signing() })({ id });

  const people = Array.from({ length: 20 }, () => ({ until: 0 }));
  const refused = Array.from({ length: 40 }, () => 0);
  for (let at = 0; at < 40 * MINUTE; at += MINUTE / 3) {
    time = at;
    if (at === 10 * MINUTE) await ring.add('new');
    for (const [i, person] of people.entries()) {
      if (at >= person.until) {
        const until = at + (person.until ? 5 : 1 + (i % 5)) * MINUTE;
        Object.assign(person, { until, token: await issue('cus_ann') });
      }
      const known = await verify(person.token);
      if (!known) refused[Math.floor(at / MINUTE)] += 1;
    }
  }
  return { name, refused };
}
// --8<-- [end:rotate]

const rings = {
  'replaced at once': createNaiveRing(),
  'published ahead': createKeyRing({
    ahead: 10 * MINUTE,
    lifetime: 5 * MINUTE + 5000,
  }),
};
for (const [title, ring] of Object.entries(rings)) {
  const { name, refused } = await day(title, ring);
  const all = refused.reduce((sum, count) => sum + count);
  console.log(`${name}: ${all} of ${40 * 3 * 20} requests refused`);
  if (process.argv.includes('series')) console.log(refused.join());
}
