"""Hardening composed with sessions, limits and logs of other topics."""

from lab.run import load, node

from .shared import ANN, BOB, Visitor, package

# --- where this chapter meets others ------------------------------------------------


def test_the_limits_of_rate_limiting_stand_before_the_password(twin):
    limits = f"""
    import {{ failureLimits }} from '{node.uri("rate-limiting/failures.mjs")}';
    const limits = failureLimits({{ store: () => undefined, known: () => null }});
    """
    with node.serve(twin("app.mjs", "limits", limits)) as server:
        visitor = Visitor(server)
        wrong = {**ANN, "password": "wrong"}
        codes = [visitor.post("/login", wrong).status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]
        assert visitor.post("/login", ANN).status_code == 429
        assert visitor.post("/login", BOB).status_code == 303  # another account
        foreign = visitor.post("/login", wrong, **{"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403  # no site makes its visitors use them up


def test_the_jwt_chapters_cookies_and_routes_live_behind_these_headers(tmp_path):
    path = tmp_path / "jwt.mjs"
    path.write_text(f"""
import express from '{package("express")}';
import {{ randomBytes }} from 'node:crypto';
import {{ createApp as createShop }} from '{node.uri("jwt/shop.mjs")}';
import {{ headers }} from '{node.uri("hardening/headers.mjs")}';
import {{ fromOurPages }} from '{node.uri("hardening/csrf.mjs")}';
export async function createApp() {{
  const env = {{
    JWT_SECRET: randomBytes(32).toString('base64url'),
    REFRESH_SECRET: randomBytes(32).toString('base64url'),
    JWT_ISSUER: 'https://shop.test', JWT_AUDIENCE: 'https://api.shop.test',
    ORIGINS: 'https://shop.test',
  }};
  const check = async (email) => ({{ id: email }});
  const shop = await createShop({{ env, check }});
  return express().use(headers(), fromOurPages('https://shop.test'), shop);
}}
""")
    ours = {"Origin": "https://shop.test", "Sec-Fetch-Site": "same-origin"}
    with node.serve(path) as server, load.client(server.url) as client:
        answer = client.post("/login", json=ANN, headers=ours)
        assert answer.status_code == 204, answer.text
        assert "nonce-" in answer.headers["Content-Security-Policy"]
        cookie = "; ".join(
            one.split(";")[0] for one in answer.headers.get_list("Set-Cookie")
        )
        me = client.get("/me", headers={"Cookie": cookie})
        assert me.json() == {"id": ANN["email"]}
        placed = client.post("/orders", headers={"Cookie": cookie, **ours})
        assert placed.status_code == 201
        foreign = {"Cookie": cookie, **ours, "Sec-Fetch-Site": "cross-site"}
        assert client.post("/orders", headers=foreign).status_code == 403


def test_on_the_json_api_of_the_rest_chapter_a_policy_for_pages_changes_nothing(tmp_path):
    path = tmp_path / "rest.mjs"
    path.write_text(f"""
import express from '{package("express")}';
import helmet from '{package("helmet")}';
import {{ createApp as createOrders }} from '{node.uri("rest-apis/orders.mjs")}';
import {{ parseOrder }} from '{node.uri("validation/order.mjs")}';
export function createApp({{ signal }}) {{
  const authenticate = () => ({{ id: 'ann' }});
  return express().use(helmet(), createOrders({{ authenticate, parseOrder, signal }}));
}}
""")
    body = {"items": [{"sku": "tea", "quantity": 1}], "note": "<script>alert(1)</script>"}
    with node.serve(path) as server, load.client(server.url) as client:
        placed = client.post(
            "/orders", json=body, headers={"Idempotency-Key": "0123456789abcdef"}
        )
        assert placed.status_code == 201, placed.text
        # stored and given back as it came: who shows it must encode it
        assert placed.json()["note"] == body["note"]
        assert placed.headers["X-Content-Type-Options"] == "nosniff"
        assert placed.headers["Content-Type"].startswith("application/json")
        body["admin"] = True
        refused = client.post(
            "/orders", json=body, headers={"Idempotency-Key": "0123456789abcdeg"}
        )
        assert refused.status_code == 422
