"""Tokens composed with the login limiter and the orders of REST."""

import json

from lab.run import node

from .shared import ANN, CHECK, ENV, Tab

# --- where it meets rate limiting ---------------------------------------------------


def test_guesses_at_the_login_are_counted_by_the_login_limiter(tmp_path):
    limits = node.resolve("rate-limiting/failures.mjs").as_uri()
    path = tmp_path / "limited.mjs"
    path.write_text(
        f"import {{ createApp as create }} from '{node.uri('jwt/shop.mjs')}';\n{CHECK}\n"
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
