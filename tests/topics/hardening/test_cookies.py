"""Sessions and their cookies: prefix, SameSite, rotation."""

import pytest

from lab.run import node

from .shared import ANN, Visitor, javascript, package

# --- cookies ------------------------------------------------------------------------

SESSION = """
import express from '{express}';
import {{ sessions }} from '{session}';
export function createApp() {{
  const app = express();
  app.set('trust proxy', {proxies});
  app.use(sessions({{ keys: ['k'] }}));
  app.post('/login', (req, res) => {{
    req.session = {{ user: 'ann' }};
    res.sendStatus(204);
  }});
  return app;
}}
"""


def serve_session(path, session: str, proxies: str):
    path.write_text(
        SESSION.format(express=package("express"), session=session, proxies=proxies)
    )
    return node.serve(path)


def login_behind_a_proxy(server) -> tuple[int, list[str]]:
    """Status of a login, and the first cookie's parts."""
    with server.client() as client:
        answer = client.post("/login", headers={"X-Forwarded-Proto": "https"})
        cookies = answer.headers.get_list("Set-Cookie")
        return answer.status_code, cookies[0].split("; ") if cookies else []


@pytest.mark.claim("hardening/cookie-sample-sets-its-flags", verdict="wrong")
def test_the_samples_flags_are_ignored_all_of_them(tmp_path):
    path = tmp_path / "session.mjs"
    with serve_session(path, node.uri("hardening/session.naive.mjs"), "false") as server:
        status, (name, *flags) = login_behind_a_proxy(server)
    assert status == 204
    assert name.startswith("session=")
    # httponly is the library's default; no Secure, no Expires, another path
    assert flags == ["path=/", "httponly"]
    # where Express knows of the HTTPS, the library adds Secure by itself
    with serve_session(
        path, node.uri("hardening/session.naive.mjs"), "'loopback'"
    ) as server:
        assert login_behind_a_proxy(server)[1][1:] == ["path=/", "secure", "httponly"]


@pytest.mark.claim("hardening/secure-cookie-behind-a-proxy", verdict="wrong")
def test_without_trust_proxy_a_secure_cookie_is_dropped_and_nothing_says_so(tmp_path):
    right = tmp_path / "right.mjs"
    right.write_text(f"""
    import cookieSession from '{package("cookie-session")}';
    export const sessions = ({{ keys }}) => cookieSession({{ keys, secure: true }});
    """)
    path = tmp_path / "session.mjs"
    with serve_session(path, right.as_uri(), "false") as server:
        # logged in, as far as anybody can tell
        assert login_behind_a_proxy(server) == (204, [])
        assert server.output().strip() == f"listening on {server.url}"
    with serve_session(path, right.as_uri(), "'loopback'") as server:
        assert "secure" in login_behind_a_proxy(server)[1]


def test_the_hardened_apps_cookie_has_all_flags_and_ends_with_the_logout(twin):
    with node.serve(twin("app.mjs")) as server:
        ann = Visitor(server)
        answer = ann.post("/login", ANN)
        pair, *flags = answer.headers["Set-Cookie"].split("; ")
        assert pair.startswith("__Host-session=")
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} < set(flags)
        assert "Max-Age=3600" in flags
        assert len(pair) == len("__Host-session=") + 43  # 32 random bytes
        ann.headers["Cookie"] = pair
        assert ann.get("/orders").status_code == 200
        assert ann.get("/orders", Cookie=f"{pair}x").status_code == 303
        again = ann.post("/login", ANN).headers["Set-Cookie"].split("; ")[0]
        assert again != pair  # a new session: nobody can have planted its id
        assert ann.get("/orders").status_code == 303  # and the one before has ended
        ann.headers["Cookie"] = again
        assert ann.get("/orders").status_code == 200
        cleared = ann.post("/logout").headers["Set-Cookie"]
        assert cleared.startswith("__Host-session=;") and "1970" in cleared
        assert ann.get("/orders").status_code == 303  # gone, wherever it was copied to


def test_a_session_ends_by_the_clock_and_only_its_hash_is_kept():
    seen = node.printed(f"""
    import {{ sessionsOf }} from '{node.uri("hardening/session.mjs")}';
    let time = 0;
    const rows = new Map();
    const sessions = sessionsOf({{ rows, life: 1000, now: () => time }});
    const cookies = [];
    const res = {{ cookie: (name, value) => cookies.push(`${{name}}=${{value}}`) }};
    await sessions.start({{ headers: {{}} }}, res, {{ id: 'ann' }});
    const req = {{ headers: {{ cookie: cookies[0] }} }};
    const kept = [...rows.keys()].some((key) => cookies[0].includes(key));
    const during = (await sessions.userOf(req)).id;
    time = 1000;
    console.log(kept, during, await sessions.userOf(req));
    """)
    assert seen.split() == ["false", "ann", "null"]


def test_in_memory_the_oldest_session_goes_when_there_are_ten_thousand():
    said = javascript("""
    import { sessionsOf } from '@/hardening/session.mjs';
    const sessions = sessionsOf();
    const cookies = [];
    const res = { cookie: (name, value) => cookies.push(`${name}=${value}`) };
    const start = (id) => sessions.start({ headers: {} }, res, { id });
    const of = async (i) =>
      (await sessions.userOf({ headers: { cookie: cookies[i] } }))?.id ?? null;
    for (let i = 0; i < 10_000; i += 1) await start(i);
    const full = [await of(0), await of(9999)];
    await start(10_000);
    console.log(JSON.stringify([full, await of(0), await of(1), await of(10_000)]));
    """)
    assert said == [[0, 9999], None, 1, 10_000]


def test_a_store_of_sessions_that_is_asynchronous_is_waited_for(twin):
    before = f"""
    import {{ sessionsOf }} from '{node.uri("hardening/session.mjs")}';
    const all = new Map();
    const turn = () => new Promise((done) => setTimeout(done, 5));
    const rows = Object.fromEntries(['get', 'set', 'delete'].map((name) =>
      [name, async (...given) => {{ await turn(); return all[name](...given); }}]));
    const sessions = sessionsOf({{ rows }});
    """
    with node.serve(twin("app.mjs", "sessions", before)) as server:
        stranger = Visitor(server)
        assert stranger.get("/orders").status_code == 303
        ann = Visitor(server, ANN)
        assert "ord_1" in ann.get("/orders").text
        ann.post("/logout")
        assert ann.get("/orders").status_code == 303


@pytest.mark.parametrize("fails", ["set", "delete"])
def test_a_login_or_logout_that_the_store_refuses_is_none(twin, fails):
    before = f"""
    import {{ sessionsOf }} from '{node.uri("hardening/session.mjs")}';
    const all = new Map();
    const rows = {{ get: (key) => all.get(key), set: (key, row) => all.set(key, row),
      delete: (key) => all.delete(key) }};
    const sessions = sessionsOf({{ rows }});
    const asked = [];
    const real = rows.{fails};
    rows.{fails} = async (...given) => {{
      if (asked.push(1) > 1) throw new Error('the store is down');
      return real(...given);
    }};
    """
    with node.serve(twin("app.mjs", "sessions", before)) as server:
        ann = Visitor(server, ANN)
        refused = ann.post("/login", ANN) if fails == "set" else ann.post("/logout")
        assert refused.status_code == 500
        assert "Set-Cookie" not in refused.headers
