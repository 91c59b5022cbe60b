"""What a token is, what libraries make of it, how large it may be."""

import json

import pytest

from lab.run import node

from .shared import LIBRARIES

# --- what a token is ----------------------------------------------------------------


@pytest.mark.claim("jwt/jwts-are-encrypted", verdict="wrong")
def test_whoever_holds_a_token_reads_its_claims_without_a_key():
    header, payload, verdict = node.lines("jwt/token.mjs")
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(payload)["phone"] == "555-0100"
    assert verdict == "signature right: true"


@pytest.mark.claim("jwt/jwts-are-encrypted", verdict="wrong")
def test_an_encrypted_one_has_five_parts_and_none_of_them_tells_the_claims():
    seen = node.evaluate(
        """
    import { EncryptJWT, jwtDecrypt } from 'jose';
    import { randomBytes } from 'node:crypto';
    const key = randomBytes(32);
    const token = await new EncryptJWT({ phone: '555-0100' })
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' }).encrypt(key);
    const parts = token.split('.').map((part) => Buffer.from(part, 'base64url'));
    console.log(parts.length, parts.some((part) => part.includes('phone')));
    console.log((await jwtDecrypt(token, key)).payload.phone);
    """
    ).stdout
    assert seen.splitlines() == ["5 false", "555-0100"]


@pytest.mark.claim("jwt/weak-secrets-are-refused", verdict="wrong")
def test_both_libraries_sign_with_one_character():
    seen = node.evaluate(
        LIBRARIES
        + """
    console.log(jwt.verify(jwt.sign({ sub: 'ann' }, 'a'), 'a').sub);
    const token = await new jose.SignJWT({ sub: 'ann' })
      .setProtectedHeader({ alg: 'HS256' }).sign(bytes('a'));
    console.log((await jose.jwtVerify(token, bytes('a'))).payload.sub);
    for (const none of [undefined, '']) {
      console.log(await said(async () => jwt.sign({}, none)));
    }
    const empty = createSecretKey(Buffer.alloc(0)); // as a key object it is taken
    console.log(jwt.verify(jwt.sign({ sub: 'ann' }, empty), empty).sub);
    """
    ).stdout
    missing = "Error secretOrPrivateKey must have a value"
    assert seen.splitlines() == ["ann", "ann", missing, missing, "ann"]


def test_rsa_keys_below_2048_bits_sign_nowhere_and_jsonwebtoken_verifies_them():
    seen = node.evaluate(
        LIBRARIES
        + """
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const options = { algorithm: 'RS256' };
    console.log(await said(async () => jwt.sign({}, small.privateKey, options)));
    const token = jwt.sign({ sub: 'ann' }, small.privateKey,
      { ...options, allowInsecureKeySizes: true });
    console.log(jwt.verify(token, small.publicKey, { algorithms: ['RS256'] }).sub);
    console.log(await said(() => jose.jwtVerify(token, small.publicKey)));
    console.log(await said(() => new jose.SignJWT({}).setProtectedHeader({ alg: 'RS256' })
      .sign(small.privateKey)));
    """
    ).stdout
    refused, taken, *by_jose = seen.splitlines()
    assert "minimum key size of 2048" in refused
    assert taken == "ann"
    assert len(by_jose) == 2 and all("2048 bits or larger" in text for text in by_jose)


def test_ed25519_is_for_jose_alone_and_has_two_names_that_do_not_match():
    seen = node.evaluate(
        LIBRARIES
        + """
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    console.log(await said(async () => jwt.sign({}, privateKey, { algorithm: 'EdDSA' })));
    for (const alg of ['EdDSA', 'Ed25519']) {
      const token = await new jose.SignJWT({ sub: 'ann' }).setProtectedHeader({ alg })
        .sign(privateKey);
      for (const algorithms of [['EdDSA'], ['Ed25519']]) {
        const found = await said(() => jose.jwtVerify(token, publicKey, { algorithms }));
        console.log(alg, algorithms[0], typeof found === 'string' ? found : found.sub);
      }
    }
    """
    ).stdout
    refused, *rest = seen.splitlines()
    assert "algorithm" in refused
    assert rest == [
        "EdDSA EdDSA ann",
        "EdDSA Ed25519 JOSEAlgNotAllowed ERR_JOSE_ALG_NOT_ALLOWED",
        "Ed25519 EdDSA JOSEAlgNotAllowed ERR_JOSE_ALG_NOT_ALLOWED",
        "Ed25519 Ed25519 ann",
    ]


@pytest.mark.claim("jwt/expires-in-is-in-seconds", verdict="depends")
def test_the_number_3600_is_an_hour_and_the_text_3600_is_three_seconds():
    seen = node.evaluate(
        LIBRARIES
        + """
    for (const expiresIn of [3600, '3600', '1h', '3600s']) {
      const { exp, iat } = jwt.decode(jwt.sign({}, 'a', { expiresIn }));
      console.log(exp - iat);
    }
    const builder = new jose.SignJWT({});
    console.log(await said(async () => builder.setExpirationTime('3600')));
    """
    ).stdout
    assert seen.splitlines() == [
        "3600", "3", "3600", "3600",
        "TypeError Invalid time period format",
    ]  # fmt: skip


# --- size ---------------------------------------------------------------------------


@pytest.mark.claim("jwt/roles-belong-in-the-token", verdict="depends")
def test_a_token_with_all_roles_is_refused_by_the_parser_before_any_route(shop):
    token = "x" * 17_000
    with shop() as server, server.client() as c:
        assert (
            c.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 431
        )
        kept = {"Authorization": f"Bearer {token[:12_000]}"}
        assert c.get("/me", headers=kept).status_code == 401


# --- what the notebook measures -----------------------------------------------------


def test_every_subject_of_the_measurements_signs_and_verifies(redis_server):
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import * as cost from './jwt/cost.mjs';
    import {{ speed }} from './jwt/crack.mjs';
    const names = [];
    for (const [name, {{ sign, verify }}] of Object.entries(
      {{ ...cost.subjects(), ...(await cost.ofJose()) }})) {{
      const seen = await cost.measure({{ sign, verify }}, {{ rounds: 1, ms: 1 }});
      if (!(seen.sign[0].all > 0 && seen.verify[0].all > 0)) throw new Error(name);
      names.push(name);
    }}
    const redis = new Redis('{redis_server.url}');
    const ways = await cost.lookups(redis);
    const seen = await cost.measure(ways, {{ rounds: 1, ms: 1, atOnce: 5 }});
    const found = await ways['Redis session']();
    redis.disconnect();
    console.log(names.length, Object.keys(seen).join(), found.sub, speed() > 1000);
    """
    ).stdout
    assert seen == "8 JWT,JWT and a denylist,Redis session cus_ann true\n"
