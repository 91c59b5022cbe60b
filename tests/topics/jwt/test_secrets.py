"""Secrets: guessed, missing, rotated."""

import contextlib
import itertools
import json

import pytest

from lab.run import node

from .shared import ANN, ENV, MADE, NEXT_SECRET, ORIGIN, SECRET, TOPIC, Tab

# --- the secret ---------------------------------------------------------------------


@pytest.mark.claim("jwt/hs256-is-insecure", verdict="depends")
def test_a_secret_from_a_small_list_is_found_and_makes_the_finder_anybody():
    assert node.lines("jwt/cracked.mjs") == [
        "guess 72035: Shop2026",
        "now I am cus_admin",
    ]


@pytest.mark.claim("jwt/unset-secret-fails-at-boot", verdict="wrong")
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


@pytest.mark.claim("jwt/rotation-logs-out", verdict="depends")
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
