"""Key sets: unknown key ids, floods, outages, rotation."""

import pytest

from lab.run import node

# --- keys ---------------------------------------------------------------------------

ISSUER = """
import { createServer } from 'node:http';
import { once } from 'node:events';
import { generateKeyPair, exportJWK, SignJWT } from 'jose';
import { createVerifier, createTokens } from './jwt/jose.mjs';
import { createKeys } from './jwt/keys.mjs';
import { createKeys as naiveKeys } from './jwt/keys.naive.mjs';
let time = Date.now();
Date.now = () => time; // ours, and jose's
const names = { issuer: 'https://auth.shop.test', audience: 'https://api.shop.test' };
async function issuer(kid) {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' };
  const it = { asked: 0, status: 200, keys: [jwk] };
  const server = createServer((req, res) => {
    it.asked += 1;
    res.statusCode = it.status;
    res.end(JSON.stringify({ keys: it.keys }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  it.url = `http://127.0.0.1:${server.address().port}/jwks`;
  it.stop = () => { server.close(); server.closeAllConnections(); };
  const key = { kid, alg: 'ES256', private: privateKey };
  it.issue = createTokens({ ...names, key });
  it.forge = (header) => new SignJWT({ sub: 'cus_admin' })
    .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid, ...header })
    .setIssuer(names.issuer).setAudience(names.audience)
    .setIssuedAt().setExpirationTime('5m').sign(privateKey);
  return it;
}
const ours = await issuer('ours');
const verifier = (keys) => createVerifier({ ...names, keys, algorithms: ['ES256'] });
const sub = async (verify, token) => {
  try { return (await verify(token))?.sub ?? null; } catch (error) { return error.status; }
};
"""


@pytest.mark.claim("jwt/kid-is-harmless", verdict="wrong")
def test_a_flood_of_unknown_kids_is_a_flood_of_fetches_unless_it_cools_down():
    seen = node.evaluate(
        ISSUER
        + """
    const mallory = await issuer('x');
    for (const create of [naiveKeys, createKeys]) {
      ours.asked = 0;
      const verify = verifier(create({ url: ours.url }));
      const genuine = await ours.issue({ id: 'cus_ann' });
      await sub(verify, genuine);
      const forged = await Promise.all(Array.from({ length: 100 }, (_, i) =>
        mallory.forge({ kid: `unknown ${i}` })));
      let taken = 0;
      for (const token of forged) taken += (await sub(verify, token)) !== null;
      console.log(ours.asked, taken, await sub(verify, genuine));
    }
    ours.stop();
    mallory.stop();
    """
    ).stdout
    assert seen.splitlines() == ["101 0 cus_ann", "1 0 cus_ann"]


def test_the_cooldown_of_jose_alone_is_of_no_use_while_the_issuer_fails():
    seen = node.evaluate(
        ISSUER
        + """
    import { createRemoteJWKSet } from 'jose';
    const mallory = await issuer('x');
    const plain = ({ url }) => createRemoteJWKSet(new URL(url));
    for (const create of [plain, createKeys]) {
      Object.assign(ours, { asked: 0, status: 200 });
      const verify = verifier(create({ url: ours.url }));
      const genuine = await ours.issue({ id: 'cus_ann' });
      const forged = await mallory.forge({ kid: 'unknown' });
      await sub(verify, genuine);
      time += 31_000; // the cooldown is over, the cache is not
      ours.status = 500;
      for (let i = 0; i < 50; i += 1) await sub(verify, forged);
      console.log(ours.asked, await sub(verify, genuine));
    }
    ours.stop();
    mallory.stop();
    """
    ).stdout
    assert seen.splitlines() == ["51 cus_ann", "2 cus_ann"]


def test_an_unknown_kid_is_looked_up_again_after_the_cooldown():
    seen = node.evaluate(
        ISSUER
        + """
    const next = await issuer('next');
    const verify = verifier(createKeys({ url: ours.url }));
    console.log(await sub(verify, await ours.issue({ id: 'cus_ann' })), ours.asked);
    ours.keys.push(...next.keys); // a new key, published
    console.log(await sub(verify, await next.issue({ id: 'cus_ann' })), ours.asked);
    time += 31_000;
    console.log(await sub(verify, await next.issue({ id: 'cus_ann' })), ours.asked);
    ours.stop();
    next.stop();
    """
    ).stdout
    assert seen.splitlines() == ["cus_ann 1", "null 1", "cus_ann 2"]


def test_a_token_without_a_kid_neither_passes_nor_stops_the_next_fetch():
    seen = node.evaluate(
        ISSUER
        + """
    const next = await issuer('next');
    ours.keys.push({ ...next.keys[0], kid: 'other' }); // several would do
    const verify = verifier(createKeys({ url: ours.url }));
    const forged = await next.forge({ kid: undefined });
    console.log(await sub(verify, forged), ours.asked);
    ours.keys.push(...next.keys);
    for (let i = 0; i < 3; i += 1) {
      time += 31_000;
      await sub(verify, forged);
    }
    const genuine = await next.issue({ id: 'cus_ann' });
    console.log(await sub(verify, genuine), ours.asked);
    ours.stop();
    next.stop();
    """
    ).stdout
    assert seen.splitlines() == ["null 1", "cus_ann 2"]


def test_an_algorithm_that_no_key_set_has_does_not_stop_the_next_fetch():
    seen = node.evaluate(
        ISSUER
        + """
    const next = await issuer('next');
    const keys = createKeys({ url: ours.url, cooldown: 1000 });
    const verify = createVerifier({ ...names, keys, algorithms: ['HS256', 'ES256'] });
    const head = Buffer.from('{"alg":"HS256","kid":"ours","typ":"at+jwt"}');
    const forged = `${head.toString('base64url')}.e30.AAAA`;
    console.log(await sub(verify, forged), ours.asked);
    ours.keys.push(...next.keys);
    time += 1001; // the cooldown is what we said, not what jose takes by itself
    console.log(await sub(verify, forged));
    console.log(await sub(verify, await next.issue({ id: 'cus_ann' })), ours.asked);
    ours.stop();
    next.stop();
    """
    ).stdout
    assert seen.splitlines() == ["null 1", "null", "cus_ann 2"]


def test_a_jku_header_chooses_the_naive_verifiers_key_and_whom_it_asks():
    seen = node.evaluate(
        ISSUER
        + """
    const mallory = await issuer('mallorys');
    for (const create of [naiveKeys, createKeys]) {
      mallory.asked = 0;
      const verify = verifier(create({ url: ours.url }));
      await sub(verify, await ours.issue({ id: 'cus_ann' }));
      const token = await mallory.forge({ jku: mallory.url });
      console.log(await sub(verify, token), mallory.asked);
    }
    ours.stop();
    mallory.stop();
    """
    ).stdout
    assert seen.splitlines() == ["cus_admin 1", "null 0"]


def test_an_issuer_that_is_away_is_503_before_the_first_key_and_nothing_after_it():
    seen = node.evaluate(
        ISSUER
        + """
    import { createAuthenticate } from './jwt/authenticate.mjs';
    const token = await ours.issue({ id: 'cus_ann' });
    const verify = verifier(createKeys({ url: ours.url }));
    ours.status = 500;
    console.log(await sub(verify, token));
    const authenticate = createAuthenticate({ verify });
    const req = { headers: { authorization: `bearer ${token}` } };
    console.log(await authenticate(req).catch((error) => error.status));
    time += 31_000;
    ours.status = 200;
    console.log((await authenticate(req)).id);
    ours.stop();
    time += 240_000; // the issuer is down for good
    console.log((await authenticate(req)).id, ours.asked);
    """
    ).stdout
    assert seen.splitlines() == ["503", "503", "cus_ann", "cus_ann 2"]


def test_a_cache_that_ran_out_while_the_issuer_is_down_is_used_on():
    seen = node.evaluate(
        ISSUER
        + """
    import { createRemoteJWKSet } from 'jose';
    const plain = ({ url }) => createRemoteJWKSet(new URL(url));
    for (const create of [plain, createKeys]) {
      ours.status = 200;
      const verify = verifier(create({ url: ours.url }));
      await sub(verify, await ours.issue({ id: 'cus_ann' }));
      time += 601_000; // past cacheMaxAge
      ours.status = 500;
      const token = await ours.issue({ id: 'cus_ann' });
      console.log(await sub(verify, token));
    }
    ours.stop();
    """
    ).stdout
    assert seen.splitlines() == ["null", "cus_ann"]


@pytest.mark.parametrize("silent", ["at once", "after the headers"])
def test_an_issuer_that_is_silent_is_503_and_then_nobody_waits_for_it(silent):
    seen = node.evaluate(
        ISSUER
        + f"""
    let asked = 0;
    const counted = (...given) => {{ asked += 1; return fetch(...given); }};
    const silent = createServer((req, res) => {{
      if ('{silent}' === 'after the headers') res.write('{{"keys": [');
    }}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `http://127.0.0.1:${{silent.address().port}}/`;
    const verify = verifier(createKeys({{ url, timeout: 200, fetch: counted }}));
    const token = await ours.issue({{ id: 'cus_ann' }});
    const watch = setTimeout(() => {{ console.log('waits'); process.exit(); }}, 4000);
    console.log(await sub(verify, token), await sub(verify, token), asked);
    clearTimeout(watch); // jose's own patience is five seconds
    silent.closeAllConnections();
    silent.close();
    ours.stop();
    """
    ).stdout
    assert seen.splitlines() == ["503 503 1"]


def test_keys_are_asked_for_again_when_they_are_old():
    seen = node.evaluate(
        ISSUER
        + """
    const next = await issuer('next');
    const verify = verifier(createKeys({ url: ours.url, maxAge: 1000, cooldown: 60_000 }));
    const old = await ours.issue({ id: 'cus_ann' });
    console.log(await sub(verify, old), ours.asked);
    ours.keys = next.keys; // the old key is taken back
    time += 1001;
    console.log(await sub(verify, old), ours.asked);
    ours.stop();
    next.stop();
    """
    ).stdout
    assert seen.splitlines() == ["cus_ann 1", "null 2"]


@pytest.mark.claim("jwt/rotation-logs-out", verdict="depends")
def test_a_key_that_was_published_ahead_takes_over_without_a_refusal():
    naive, staged = node.lines("jwt/rotate.mjs")
    assert naive.startswith("replaced at once: ") and " 0 of" not in naive
    assert staged == "published ahead: 0 of 2400 requests refused"


def test_the_ring_forgets_a_key_whose_last_token_has_expired():
    seen = node.evaluate(
        """
    import { createKeyRing } from './jwt/ring.mjs';
    let time = 0;
    const ring = createKeyRing({ ahead: 100, lifetime: 10, now: () => time });
    const seen = () => `${ring.jwks().keys.map(({ kid }) => kid)} ${ring.signing().kid}`;
    const found = [];
    await ring.add('a');
    found.push(seen());
    await ring.add('b');
    for (time of [0, 99, 100, 109, 110]) found.push(seen());
    console.log(found.join(' / '));
    console.log(ring.jwks().keys.some((jwk) => 'd' in jwk)); // the private part
    """
    ).stdout
    assert seen.splitlines() == [
        "a a / a,b a / a,b a / a,b b / a,b b / b b",
        "false",
    ]
