"""Logging out: revocation lists and their price."""

import pytest

from lab.run import node

from .shared import ACCESS, VERIFY, Tab


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


# --- logout and its price -----------------------------------------------------------


@pytest.mark.claim("jwt/logout-is-stateless", verdict="wrong")
def test_a_stolen_access_token_outlives_the_logout_unless_there_is_a_list(shop):
    assert node.lines("jwt/lag.mjs") == [
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
