"""Guessing passwords: by address, by account, spread out; and what the time tells."""

import contextlib
import json
import statistics
from pathlib import Path

import httpx
import pytest

from lab.record import evidence
from lab.run import node

from .shared import ATTACKER, TOPIC, client

SOURCE = node.label(Path(__file__))

ANN = {"email": "ann@shop.test", "password": "correct horse"}
BOB = {"email": "bob@shop.test", "password": "battery staple"}

WRONG = {**ANN, "password": "wrong horse"}

USERS = """
import { scryptSync } from 'node:crypto';
const [salt, options] = [Buffer.alloc(16, 7), { N: 1024, r: 8, p: 1 }];
const user = (password) => ({ salt, hash: scryptSync(password, salt, 32, options) });
const users = new Map([
  ['ann@shop.test', user('correct horse')],
  ['bob@shop.test', user('battery staple')],
]);
"""


@pytest.fixture
def login(module):
    """Serves a login with two users and a cheap hash."""

    @contextlib.contextmanager
    def serve(snippet: str, deps: str = ""):
        path = module(snippet, f"users, N: 1024, {deps}", USERS, f"{snippet}-served")
        with node.serve(path) as server:
            yield server

    return serve


def attempt(c: httpx.Client, body: dict, **options) -> int:
    return c.post("/login", json=body, **options).status_code


@pytest.mark.claim("rate-limiting/protects-the-login", verdict="wrong")
def test_a_list_of_passwords_gets_through_an_address_limit_and_not_an_account_limit():
    assert node.lines("rate-limiting/guesses.mjs") == [
        "100 per address: 1000 guesses, found after 2.25 h",
        "per account, 1 address: 100 guesses, not found in a day",
        "per account, 20 addresses: 1000 guesses, found after 19 h",
        "no limit: 1000 guesses, found after 0 h",
    ]
    assert node.lines("rate-limiting/guesses.mjs", "none") == [
        "100 per address: 9600 guesses, not found in a day",
        "per account, 1 address: 100 guesses, not found in a day",
        "per account, 20 addresses: 1200 guesses, not found in a day",
    ]


GUESSES = [{**ANN, "password": f"guess {n}"} for n in range(60)] + [ANN]


@pytest.mark.parametrize(
    ("snippet", "found", "checked"),
    [("login.naive.mjs", True, 60), ("login.mjs", False, 5)],
)
def test_brute_force_finds_the_password_in_the_naive_login_only(
    login, snippet, found, checked
):
    with login(snippet) as server, client(server.url) as attacker:
        codes = [attempt(attacker, guess) for guess in GUESSES]
        assert (204 in codes) is found
        assert codes.count(401) == checked
        # behind the same NAT, another customer gets in
        assert attempt(attacker, BOB) == 204


GUESSING = """
import { once } from 'node:events';
import { createApp } from './rate-limiting/login.mjs';
const headers = { 'Content-Type': 'application/json' };
async function serve(deps) {
  const server = createApp(deps).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
function post(server, i, signal) {
  const url = `http://127.0.0.1:${server.address().port}/login`;
  const body = JSON.stringify({ email: 'ann@shop.test', password: `guess ${i}` });
  return fetch(url, { method: 'POST', headers, body, signal });
}
function end(server) {
  server.close();
  server.closeAllConnections();
}
"""


def test_a_hundred_guesses_at_once_are_five():
    guesses = """
    let [checked, refused] = [0, 0];
    const others = Promise.withResolvers();
    const check = async () => {
      checked += 1;
      await others.promise; // no guess is answered before the others were refused
      return false;
    };
    const server = await serve({ check });
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const { status } = await post(server, i);
      refused += status === 429;
      if (refused === 95) others.resolve();
    }));
    console.log(checked, refused);
    end(server);
    """
    assert node.evaluate(GUESSING + guesses).stdout == "5 95\n"


def test_only_two_passwords_are_hashed_at_once_and_the_third_is_told_to_come_back():
    seen = node.evaluate(
        GUESSING
        + """
    const { passwordsOf } = await import('./rate-limiting/passwords.mjs');
    const check = passwordsOf({ users: new Map(), N: 1024 });
    const ask = (count) => Promise.all(
      Array.from({ length: count }, (_, i) => check(`${i}@shop.test`, 'guess')));
    const right = await ask(40);
    console.log(right.slice(0, 3).join(), right.filter((one) => one === null).length);
    const again = await ask(40); // both are free again, and no third
    console.log(again.filter((one) => one === null).length);
    await check('ann@shop.test', 7).catch(() => {}); // and after an error
    await check('ann@shop.test', 7).catch(() => {});
    console.log((await ask(1)).join());
    const server = await serve({ check: async () => null });
    const busy = await post(server, 1);
    console.log(busy.status, busy.headers.get('retry-after'));
    end(server);
    """
    ).stdout
    assert seen.splitlines() == ["false,false, 38", "38", "false", "503 1"]


def test_a_guess_is_counted_though_the_attacker_hangs_up():
    seen = node.evaluate(
        GUESSING
        + """
    const stop = [];
    let checked = 0;
    const check = async () => {
      checked += 1;
      const gone = once(server, 'gone');
      stop.shift()?.abort(); // hangs up while the password is being checked
      await gone;
      return false;
    };
    const server = await serve({ check });
    server.on('connection', (socket) =>
      socket.once('close', () => server.emit('gone')));
    for (let i = 0; i < 5; i += 1) {
      const hasty = new AbortController();
      stop.push(hasty);
      await post(server, i, hasty.signal).catch(() => {});
      await once(server, 'gone');
      await new Promise(setImmediate); // what is awaited after it, runs
    }
    console.log(checked, (await post(server, 6)).status);
    end(server);
    """
    ).stdout
    assert seen == "5 429\n"


@pytest.mark.claim("rate-limiting/lock-the-account", verdict="depends")
def test_an_attacker_locks_out_strangers_and_not_the_owners_device(login):
    with (
        login("login.mjs") as server,
        client(server.url, ATTACKER) as attacker,
        client(server.url, ATTACKER) as ann,  # behind the same NAT
    ):
        welcome = ann.post("/login", json=ANN)
        assert welcome.status_code == 204
        flags = welcome.headers["set-cookie"].lower()
        expected = "max-age=7776000 path=/login httponly secure samesite=strict"
        assert all(f"; {word}" in flags for word in expected.split())
        device = welcome.headers["set-cookie"].split(";")[0]
        assert [attempt(attacker, WRONG) for _ in range(7)] == [401] * 5 + [429] * 2
        # the attacker with the right password, and Ann on a device that is not known
        assert attempt(attacker, ANN) == 429
        assert attempt(ann, ANN, headers={"Cookie": device}) == 204
        # the device is no free pass: its own mistakes are counted
        own = [attempt(ann, WRONG, headers={"Cookie": device}) for _ in range(6)]
        assert own == [401] * 5 + [429]


def test_a_device_is_known_for_its_own_account_only_and_cannot_be_forged(login):
    with login("login.mjs") as server, client(server.url) as mallory:
        welcome = mallory.post("/login", json=BOB)
        device = welcome.headers["set-cookie"].split(";")[0]
        forged = "device=" + "a" * 36 + "." + "b" * 43
        assert [attempt(mallory, WRONG) for _ in range(6)] == [401] * 5 + [429]
        for cookie in (device, forged, "device=", "x=1; device=é"):
            headers = {"Cookie": cookie.encode("latin-1")}
            assert attempt(mallory, ANN, headers=headers) == 429


def test_many_addresses_share_one_limit_for_an_account(login):
    with login("login.mjs", f"proxies: '{ATTACKER}'") as server:
        with client(server.url) as botnet:
            codes = [
                attempt(botnet, WRONG, headers={"X-Forwarded-For": f"203.0.113.{n}"})
                for n in range(60)
            ]
    assert codes == [401] * 50 + [429] * 10


def test_one_address_has_a_hundred_failures_a_day_for_all_accounts(login):
    with login("login.mjs") as server, client(server.url) as attacker:
        sprayed = [
            attempt(attacker, {"email": f"{n}@shop.test", "password": "Summer2026"})
            for n in range(105)
        ]
    assert sprayed == [401] * 100 + [429] * 5


@pytest.mark.claim("rate-limiting/stuffing-passes-counters", verdict="right")
def test_no_limit_sees_stuffing_that_takes_an_address_for_each_account(login):
    with login("login.mjs", f"proxies: '{ATTACKER}'") as server:
        with client(server.url) as botnet:
            codes = [
                attempt(
                    botnet,
                    {"email": f"{n}@shop.test", "password": "leaked elsewhere"},
                    headers={"X-Forwarded-For": f"203.0.113.{n}"},
                )
                for n in range(150)
            ]
    assert codes == [401] * 150


def test_a_login_that_succeeds_is_not_counted_and_does_not_start_the_count_again(login):
    with login("login.mjs") as server, client(server.url) as c:
        assert [attempt(c, ANN) for _ in range(12)] == [204] * 12
        assert [attempt(c, WRONG) for _ in range(4)] == [401] * 4
        assert attempt(c, ANN) == 204
        assert [attempt(c, WRONG) for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    "spelling", ["ANN@shop.test", " ann@shop.test ", "Ann@Shop.TEST"]
)
def test_an_account_spelt_otherwise_is_the_same_account(login, spelling):
    with login("login.mjs") as server, client(server.url) as c:
        assert [attempt(c, WRONG) for _ in range(5)] == [401] * 5
        assert attempt(c, {**ANN, "email": spelling}) == 429


def test_answers_do_not_tell_who_has_an_account(login):
    def answers(server, email):
        body = {"email": email, "password": "wrong horse"}
        with client(server.url) as c:
            seen = [c.post("/login", json=body) for _ in range(7)]
        return [
            (a.status_code, a.text, a.headers.get("RateLimit", "").split("; t=")[0])
            for a in seen
        ]

    for snippet, same in (("login.naive.mjs", False), ("login.mjs", True)):
        seen = []
        for email in (ANN["email"], "nobody@shop.test"):
            with login(snippet) as server:
                seen.append(answers(server, email))
        assert (seen[0] == seen[1]) is same


@pytest.mark.parametrize(
    "body", [{}, {"email": "a", "password": 7}, {"email": ["a"], "password": "b"}]
)
def test_the_login_refuses_what_is_not_text_or_too_long(login, body):
    with login("login.mjs") as server, client(server.url) as c:
        assert attempt(c, body) == 400
        assert c.post("/login").status_code == 400
        assert attempt(c, {**ANN, "password": "x" * 2000}) == 413


def test_the_flood_of_one_address_is_refused_before_it_is_parsed(login):
    broken = {"content": "{", "headers": {"Content-Type": "application/json"}}
    with login("login.mjs") as server, server.client() as c:
        codes = [c.post("/login", **broken).status_code for _ in range(310)]
    assert codes == [400] * 300 + [429] * 10


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_the_login_keeps_its_limits_in_redis_without_a_name_in_it(
    module, redis_server, store
):
    shared = node.resolve(f"{TOPIC}/shared.mjs").as_uri()
    url = json.dumps(redis_server.url if store == "redis" else "")
    before = f"{USERS}\nimport {{ stores }} from '{shared}';\n"
    deps = f"users, N: 1024, store: await stores({{ ...deps, url: {url} }})"
    path = module("login.mjs", deps, before)
    for _ in range(2):  # a restart
        with node.serve(path) as server, client(server.url) as c:
            codes = [attempt(c, WRONG) for _ in range(6)]
    assert codes == ([429] * 6 if store == "redis" else [401] * 5 + [429])
    assert "ann" not in str(redis_server.command("KEYS", "*"))


REDIRECTS = """
import express from 'express';
import { rateLimit } from 'express-rate-limit';
export function createApp() {
  const app = express();
  app.use(rateLimit({ limit: 5, skipSuccessfulRequests: true }));
  app.post('/form', (req, res) => res.redirect('/login?failed'));
  app.post('/json', (req, res) => res.sendStatus(401));
  return app;
}
"""


@pytest.mark.claim("rate-limiting/failed-logins-are-counted", verdict="depends")
def test_a_failed_login_that_redirects_is_not_counted_as_failed(tmp_path):
    (tmp_path / "node_modules").symlink_to(node.SNIPPETS / "node_modules")
    path = tmp_path / "redirects.mjs"
    path.write_text(REDIRECTS)
    with node.serve(path) as server, client(server.url) as c:
        assert [c.post("/form").status_code for _ in range(50)] == [302] * 50
        assert [c.post("/json").status_code for _ in range(6)] == [401] * 5 + [429]


@pytest.mark.timing
def test_the_time_of_an_answer_tells_the_naive_logins_accounts(module):
    """Ratio of the median time for a known and for an unknown account."""
    users = USERS.replace("N: 1024", "N: 2 ** 14")
    for snippet, name, bounds in (
        ("login.naive.mjs", "enumeration-naive", {"above": 4}),
        ("login.mjs", "enumeration-hardened", {"above": 0.4, "below": 2.5}),
    ):
        deps = "users, N: 2 ** 14, max: Infinity"
        path = module(snippet, deps, users, name)
        ratios = []
        for _ in range(3):
            took = {ANN["email"]: [], "nobody": []}
            with node.serve(path) as server, server.client() as c:
                for n in range(4):
                    for email, times in took.items():
                        body = {"email": email, "password": "wrong horse"}
                        answer = c.post("/login", json=body)
                        assert answer.status_code == 401
                        if n:  # the first pays for the route's start-up
                            times.append(answer.elapsed.total_seconds())
            known, unknown = map(statistics.median, took.values())
            ratios.append(known / unknown)
        evidence.hold(
            f"{TOPIC}/{name}",
            ratios,
            "×",
            "time of a failed login, account known against unknown, "
            + snippet.removesuffix(".mjs"),
            source=SOURCE,
            **bounds,
        )
