"""What several files of these tests share."""

import base64

import httpx

TOPIC = "jwt"

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
