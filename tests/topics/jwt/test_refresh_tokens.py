"""Refresh tokens: rotation, reuse, theft, twenty tabs at once."""

import pytest

from lab.run import node

from .shared import ACCESS, ANN, ORIGIN, REFRESH, VERIFY, Tab

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


@pytest.mark.claim("jwt/rotation-is-enough", verdict="wrong")
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


@pytest.mark.claim("jwt/tabs-trip-detection", verdict="depends")
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
