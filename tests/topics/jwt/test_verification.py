"""Forged tokens against three verifiers, and verifiers that cannot be made."""

import json

import pytest

from lab.run import node

from .shared import LIBRARIES, MADE, VERIFY

# --- forged tokens ------------------------------------------------------------------


def matrix() -> dict[str, list[bool]]:
    """name -> taken by naive, hardened jsonwebtoken, jose"""
    found = {}
    for line in node.lines("jwt/matrix.mjs"):
        name, cells = line[:18].strip(), line[18:].split()
        found[name] = [cell == "TAKEN" for cell in cells]
    return found


def listed() -> dict[str, tuple[str, bool]]:
    """name -> what it forges, whether the naive verifier takes it: the documented list"""
    text = node.evaluate(
        """
    import { FORGERIES } from './jwt/forgeries.mjs';
    console.log(JSON.stringify(Object.values(FORGERIES).flat()));
    """
    ).stdout
    return {name: (forges, taken) for name, forges, taken, _ in json.loads(text)}


@pytest.mark.claim("jwt/verify-checks-everything", verdict="wrong")
def test_every_forged_token_has_the_fate_that_the_list_says():
    seen, forgeries = matrix(), listed()
    genuine = {name: row for name, row in seen.items() if name.startswith("genuine")}
    assert len(genuine) == 3 and all(all(row) for row in genuine.values())
    assert len(forgeries) >= 30 and seen.keys() - genuine.keys() == forgeries.keys()
    for name, (_, taken) in forgeries.items():
        assert seen[name] == [taken, False, False], name
    assert sum(taken for _, taken in forgeries.values()) > len(forgeries) / 2


@pytest.mark.claim("jwt/none-and-confusion", verdict="wrong")
def test_no_algorithm_and_algorithm_confusion_are_refused_without_any_option():
    seen = matrix()
    old = ("none", "None", "none, a signature", "none, two parts", "no alg")
    for name in (*old, "HMAC by public PEM", "HMAC by public DER"):
        assert seen[name] == [False] * 3, name
    for name in ("HS384", "HS512", "RS512", "PS256"):  # what is left to pin
        assert seen[name] == [True, False, False], name


@pytest.mark.claim("jwt/list-of-texts", verdict="right")
def test_a_pinned_library_still_takes_other_spellings_of_a_token():
    seen = node.evaluate(
        LIBRARIES
        + """
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const algorithms = ['RS256'];
    const token = jwt.sign({ sub: 'ann' }, privateKey, { algorithm: 'RS256' });
    const spelt = 'AQgw'; // each ends in four zero bits; the next letter is the same bytes
    if (!spelt.includes(token.at(-1))) throw new Error(token.at(-1));
    const other = token.slice(0, -1) + { A: 'B', Q: 'R', g: 'h', w: 'x' }[token.at(-1)];
    console.log(jwt.verify(other, publicKey, { algorithms }).sub);
    console.log((await jose.jwtVerify(other, publicKey, { algorithms })).payload.sub);
    console.log((await jose.jwtVerify(`${token}\\n`, publicKey, { algorithms })).payload.sub);
    console.log(await said(async () => jwt.verify(`${token}\\n`, publicKey, { algorithms })));
    """
    ).stdout
    assert seen.splitlines() == [
        "ann", "ann", "ann", "JsonWebTokenError invalid token",
    ]  # fmt: skip


@pytest.mark.claim("jwt/audience-regex", verdict="wrong")
def test_an_audience_pattern_without_anchors_matches_somebody_elses_host():
    seen = node.evaluate(
        LIBRARIES
        + """
    const token = jwt.sign({ aud: 'https://api.shop.test.evil.test' }, 'a');
    const taken = (audience) => {
      try { return Boolean(jwt.verify(token, 'a', { audience })); } catch { return false; }
    };
    console.log(taken(/api\\.shop\\.test/), taken(/^https:\\/\\/api\\.shop\\.test$/),
      taken('https://api.shop.test'), taken(undefined), taken(''));
    """
    ).stdout
    # not set, or set to nothing, it is not checked at all
    assert seen.split() == ["true", "false", "false", "true", "true"]


def test_a_verifier_cannot_be_made_without_what_it_is_to_check():
    seen = node.evaluate(
        MADE
        + """
    const url = new URL(names.issuer);
    const changes = [{ issuer: '' }, { issuer: url }, { audience: undefined },
      { audience: /api/ }, { audience: url }];
    for (const name of ['verify', 'joseVerify', 'issue', 'joseIssue']) {
      console.log(made(name, {}), changes.every((change) =>
        made(name, change).endsWith('so it would not be checked')));
    }
    for (const algorithms of [undefined, [], 'HS256']) {
      console.log(made('joseVerify', { algorithms }));
    }
    // jsonwebtoken's takes the algorithm from the key, so it needs no list
    console.log(made('verify', { algorithms: [] }), made('verify', { keys: {} }));
    """
    ).stdout.splitlines()
    assert seen[:4] == ["made true"] * 4
    assert seen[4:7] == ["algorithms: not a list, so they would not be checked"] * 3
    assert seen[7] == "made keys: not a Map"


def test_jsonwebtoken_checks_no_issuer_that_is_a_url_object():
    seen = node.evaluate(
        LIBRARIES
        + """
    const issuer = new URL('https://auth.shop.test');
    const token = jwt.sign({ iss: 'https://evil.test' }, 'a');
    console.log(jwt.verify(token, 'a', { algorithms: ['HS256'], issuer }).iss);
    console.log(await said(async () =>
      jwt.verify(token, 'a', { algorithms: ['HS256'], issuer: issuer.href })));
    """
    ).stdout.splitlines()
    assert seen[0] == "https://evil.test" and "jwt issuer invalid" in seen[1]


@pytest.mark.claim("jwt/expires-in-is-in-seconds", verdict="depends")
def test_a_leeway_that_is_a_text_takes_a_token_that_expired_a_year_ago():
    seen = node.evaluate(
        LIBRARIES
        + """
    const iat = Math.floor(Date.now() / 1000) - 365 * 86_400;
    const token = jwt.sign({ sub: 'ann', iat }, 'a', { expiresIn: 300 });
    for (const leeway of [5, '5']) {
      console.log(await said(async () => jwt.verify(token, 'a',
        { algorithms: ['HS256'], maxAge: 300, clockTolerance: leeway }).sub));
    }
    console.log(await said(() => jose.jwtVerify(token, bytes('a'), { clockTolerance: '5' })));
    """
    ).stdout
    assert seen.splitlines() == [
        "TokenExpiredError jwt expired", "ann", "TypeError Invalid time period format",
    ]  # fmt: skip


# factory -> its numbers, each with the least that makes sense
NUMBERS = {
    "verify": {"lifetime": 1, "leeway": 0},
    "joseVerify": {"lifetime": 1, "leeway": 0},
    "issue": {"lifetime": 1},
    "joseIssue": {"lifetime": 1},
    "keys": {"cooldown": 0, "maxAge": 0, "timeout": 1},
    "ring": {"ahead": 0, "lifetime": 1},
    "revocations": {"lifetime": 1, "leeway": 0},
    "sessions": {"grace": 0},
    "memory": {"life": 1, "most": 1},
    "redis": {"life": 1},
}


@pytest.mark.claim("jwt/expires-in-is-in-seconds", verdict="depends")
def test_nothing_can_be_made_with_a_text_where_it_counts():
    seen = node.evaluate(
        MADE
        + f"""
    const numbers = {json.dumps(NUMBERS)};
    for (const [name, options] of Object.entries(numbers)) {{
      for (const [option, least] of Object.entries(options)) {{
        const wrong = ['5', '300', '', null, NaN, Infinity, least - 1, least + 0.5, [300]];
        for (const value of wrong) {{
          const said = made(name, {{ [option]: value }});
          if (!said.startsWith(`${{option}}: not a whole number, ${{least}} or more`))
            console.log(name, option, value, said);
        }}
        console.log(made(name, {{ [option]: least }}));
      }}
    }}
    """
    ).stdout
    assert seen.splitlines() == ["made"] * sum(map(len, NUMBERS.values()))


def test_each_token_has_an_id_of_its_own():
    seen = node.evaluate(
        VERIFY
        + """
    import { createTokens as withJose } from './jwt/jose.mjs';
    for (const create of [createTokens, withJose]) {
      const issue = create({ ...names, key });
      const ids = new Set();
      for (let i = 0; i < 3; i += 1) {
        const token = await issue({ id: 'cus_ann', sid: 's-1' });
        ids.add((await VERIFIERS.jose({})(token)).jti);
      }
      console.log(ids.size, ids.has(undefined));
    }
    """
    ).stdout
    assert seen.splitlines() == ["3 false"] * 2


def test_a_token_of_more_than_four_kilobytes_is_not_even_read():
    seen = node.evaluate(
        VERIFY
        + """
    const issue = createTokens({ ...names, key });
    const tokens = [];
    while (!(tokens.at(-1)?.length > 4096)) {
      tokens.push(issue({ id: 'a'.repeat(2500 + tokens.length), sid: 's-1' }));
    }
    const parts = tokens.at(-1).split('.').map(({ length }) => length);
    console.log(Math.max(...parts) <= 4000); // it is their sum
    for (const create of Object.values(VERIFIERS)) {
      const verify = create({});
      console.log(Boolean(await verify(tokens.at(-2))), await verify(tokens.at(-1)));
    }
    """
    ).stdout
    assert seen.splitlines() == ["true", "true null", "true null"]


def test_a_payload_that_is_a_text_has_a_subject_of_sorts():
    seen = node.evaluate(
        LIBRARIES
        + """
    const token = jwt.sign('cus_ann', 'a');
    const claims = jwt.verify(token, 'a', { algorithms: ['HS256'] });
    console.log(claims, typeof claims.sub);
    console.log(await said(() => jose.jwtVerify(token, bytes('a'))));
    """
    ).stdout
    assert seen.splitlines() == ["cus_ann function", "JWTInvalid ERR_JWT_INVALID"]


def test_a_token_for_another_service_opens_the_naive_one_only():
    seen = node.evaluate(
        """
    import { createSecretKey, randomBytes } from 'node:crypto';
    import { createTokens } from './jwt/tokens.mjs';
    import { createTokens as withJose, createVerifier as jose, fromMap } from './jwt/jose.mjs';
    import { createVerifier as naive } from './jwt/verify.naive.mjs';
    import { createVerifier as hardened } from './jwt/verify.mjs';
    const secret = createSecretKey(randomBytes(32));
    const key = { kid: 'main', alg: 'HS256', private: secret, public: secret };
    const keys = new Map([[key.kid, key]]);
    const issuer = 'https://auth.shop.test';
    const [files, api] = ['https://files.shop.test', 'https://api.shop.test'];
    const algorithms = ['HS256'];
    for (const create of [createTokens, withJose]) {
      const issue = create({ key, issuer, audience: files });
      const token = await issue({ id: 'cus_ann', sid: 's-1' });
      for (const audience of [files, api]) {
        const of = { keys, issuer, audience };
        const seen = [naive(of)(token), hardened(of)(token),
          await jose({ ...of, keys: fromMap(keys), algorithms })(token)];
        console.log(seen.map((claims) => claims?.sub ?? null).join());
      }
    }
    """
    ).stdout
    own, replayed = "cus_ann,cus_ann,cus_ann", "cus_ann,,"
    assert seen.splitlines() == [own, replayed] * 2


@pytest.mark.claim("jwt/clocks-agree", verdict="depends")
def test_a_clock_that_is_some_seconds_off_needs_leeway_both_ways():
    seen = node.evaluate(
        """
    import { createSecretKey, randomBytes } from 'node:crypto';
    import { createTokens } from './jwt/tokens.mjs';
    import { createVerifier as jose, fromMap } from './jwt/jose.mjs';
    import { createVerifier as hardened } from './jwt/verify.mjs';
    const secret = createSecretKey(randomBytes(32));
    const key = { kid: 'main', alg: 'HS256', private: secret, public: secret };
    const keys = new Map([[key.kid, key]]);
    const names = { issuer: 'https://auth.shop.test', audience: 'https://api.shop.test' };
    const begin = Date.UTC(2026, 0, 1);
    const token = createTokens({ ...names, key, now: () => begin })({ id: 'ann' });
    const algorithms = ['HS256'];
    for (const create of [hardened,
      (deps) => jose({ ...deps, keys: fromMap(keys), algorithms })]) {
      for (const leeway of [0, 5]) {
        const seen = [];
        for (const seconds of [-6, -4, 0, 299, 301, 306]) {
          const now = () => begin + seconds * 1000;
          const verify = create({ ...names, keys, leeway, now });
          seen.push((await verify(token)) ? 1 : 0);
        }
        console.log(leeway, seen.join(''));
      }
    }
    """
    ).stdout
    assert seen.splitlines() == ["0 001100", "5 011110"] * 2


@pytest.mark.claim("jwt/verify-checks-everything", verdict="wrong")
def test_the_age_of_a_token_from_1970_is_not_counted_from_now():
    seen = node.evaluate(
        """
    import jwt from 'jsonwebtoken';
    import { createSecretKey, randomBytes } from 'node:crypto';
    import { kitOf } from './jwt/forgeries.mjs';
    import { createVerifier as jose, fromMap } from './jwt/jose.mjs';
    import { createVerifier as hardened } from './jwt/verify.mjs';
    const secret = createSecretKey(randomBytes(32));
    const key = { kid: 'main', alg: 'HS256', private: secret, public: secret };
    const ours = { issuer: 'https://auth.shop.test', audience: 'https://api.shop.test' };
    const keys = new Map([[key.kid, key]]);
    const at = Math.floor(Date.now() / 1000);
    const token = kitOf(key, { ...ours, at }).token({}, { iat: 0, exp: at + 31_536_000 });
    const alone = jwt.verify(token, secret, { algorithms: ['HS256'], maxAge: 300 });
    const withJose = jose({ ...ours, keys: fromMap(keys), algorithms: ['HS256'] });
    console.log(alone.sub, hardened({ ...ours, keys })(token), await withJose(token));
    """
    ).stdout
    assert seen == "cus_ann null null\n"


def test_the_list_of_algorithms_counts_for_keys_that_name_none():
    seen = node.evaluate(
        """
    import { generateKeyPairSync } from 'node:crypto';
    import { createLocalJWKSet } from 'jose';
    import { kitOf } from './jwt/forgeries.mjs';
    import { createVerifier } from './jwt/jose.mjs';
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = { alg: 'RS256', kid: 'k', private: pair.privateKey };
    const names = { issuer: 'a', audience: 'b' };
    const kit = kitOf(key, { ...names, at: Math.floor(Date.now() / 1000) });
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k' };
    const keys = createLocalJWKSet({ keys: [jwk] });
    const verify = createVerifier({ ...names, keys, algorithms: ['RS256'] });
    for (const alg of ['RS256', 'PS256', 'RS512']) {
      console.log(alg, (await verify(kit.token({ alg })))?.sub);
    }
    """
    ).stdout
    assert seen.splitlines() == ["RS256 cus_ann", "PS256 undefined", "RS512 undefined"]


def test_a_key_in_a_map_is_for_its_own_algorithm_though_the_verifier_takes_two():
    seen = node.evaluate(
        VERIFY
        + """
    import { kitOf } from './jwt/forgeries.mjs';
    const kit = kitOf(key, { ...names, at: Math.floor(Date.now() / 1000) });
    const verify = VERIFIERS.jose({ algorithms: ['HS256', 'HS512'] });
    for (const alg of ['HS256', 'HS512']) console.log((await verify(kit.token({ alg })))?.sub);
    """
    ).stdout
    assert seen.splitlines() == ["cus_ann", "undefined"]


@pytest.mark.claim("jwt/none-and-confusion", verdict="wrong")
def test_who_does_what_the_header_says_takes_a_public_key_for_a_secret():
    seen = node.evaluate(
        """
    import { createHmac, generateKeyPairSync, verify as check } from 'node:crypto';
    import jwt from 'jsonwebtoken';
    import * as jose from 'jose';
    import { kitOf } from './jwt/forgeries.mjs';
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = { alg: 'RS256', kid: 'k', private: pair.privateKey, public: pair.publicKey };
    const kit = kitOf(key, { issuer: 'a', audience: 'b', at: Math.floor(Date.now() / 1000) });
    const pem = key.public.export({ format: 'pem', type: 'spki' });
    // the mistake: one key, and the token says what to do with it
    function verify(token) {
      const [head, body, signature] = token.split('.');
      const { alg } = JSON.parse(Buffer.from(head, 'base64url'));
      const text = Buffer.from(`${head}.${body}`);
      return alg === 'HS256'
        ? createHmac('sha256', pem).update(text).digest('base64url') === signature
        : check('sha256', text, pem, Buffer.from(signature, 'base64url'));
    }
    const forged = kit.token({ alg: 'HS256' }, { sub: 'cus_admin' }, pem);
    console.log(verify(kit.token()), verify(forged));
    for (const library of [() => jwt.verify(forged, pem),
      () => jose.jwtVerify(forged, key.public)]) {
      try { await library(); console.log('taken'); } catch { console.log('refused'); }
    }
    """
    ).stdout
    assert seen.split() == ["true", "true", "refused", "refused"]
