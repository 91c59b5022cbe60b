"""Which failures are 401, which 503, which 500, and what is logged."""

import httpx
import pytest

from lab.run import node, process

from .shared import ACCESS, ANN, LIBRARIES, ORIGIN, VERIFY, Tab

# --- errors -------------------------------------------------------------------------

BROKEN = [
    "x", "a.b.c", "..", "null.null.null", "é", "x" * 5000,
    # the header is right, the payload is no JSON: nothing of it is signed
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.bm9uc2Vuc2U.AAAA",
]  # fmt: skip


@pytest.mark.claim("jwt/every-fault-is-its-own-error", verdict="wrong")
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
            app=node.uri("jwt/app.mjs"),
            unavailable=node.uri("jwt/unavailable.mjs"),
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
